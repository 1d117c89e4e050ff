"""Files in which others have written down what they saw, for `perdure verify`."""

import pathlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import typer

from perdure.cli.verdicts import Examined
from perdure.runlog.checker import LogChecker
from perdure.runlog.rules import Rule
from perdure.runlog.witnesses import (
    Acknowledgement,
    Launch,
    compare_acknowledgements,
    compare_launches,
    read_acknowledgements,
    read_launches,
)

Seen = TypeVar("Seen", Acknowledgement, Launch)


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What was seen outside; None where nobody was asked."""

    acknowledgements: list[Acknowledgement] | None
    launches: list[Launch] | None

    @property
    def any(self) -> bool:
        """Whether anybody was asked."""
        return self.acknowledgements is not None or self.launches is not None

    def compare(self, logs: Mapping[str, LogChecker], examined: Examined, *, whole: bool) -> None:
        """Adds what the logs lack of it. Unless the logs are `whole`, what is about other runs is passed over."""
        if self.acknowledgements is not None:
            about = [seen for seen in self.acknowledgements if whole or seen.run_id in logs]
            examined.witnessed(Rule.ACKNOWLEDGED, len(about))
            examined.add(*compare_acknowledgements(logs, about))
        if self.launches is not None:
            keys = {begun.key for log in logs.values() for begun in log.begun.values()}
            examined.witnessed(Rule.LAUNCHED, sum(whole or seen.key in keys for seen in self.launches))
            violations = compare_launches(logs, self.launches)
            examined.add(*(violation for violation in violations if whole or violation.run_id))


NOBODY: Final = Witnesses(None, None)
"""No witness at all."""


def read_witnesses(acks: list[pathlib.Path] | None, launches: list[pathlib.Path] | None) -> Witnesses:
    """What is in the files. Raises BadParameter naming file and line."""
    return Witnesses(_read(acks, "--acks", read_acknowledgements), _read(launches, "--launches", read_launches))


def _read(
    files: list[pathlib.Path] | None, option: str, read: Callable[[Iterable[str]], list[Seen]]
) -> list[Seen] | None:
    if not files:
        return None
    seen: list[Seen] = []
    for file in files:
        try:
            with file.open(encoding="utf-8") as lines:
                seen += read(lines)
        except OSError as error:
            raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint=f"'{option}'") from error
        except ValueError as error:
            raise typer.BadParameter(f"{file}: {error}", param_hint=f"'{option}'") from error
    return seen
