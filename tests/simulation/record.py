"""What is kept of a trial: the faults that were hit, the steps, and what witnesses outside saw."""

import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.runlog.witnesses import Acknowledgement, Launch

LAST_STEPS: Final = 60
"""Steps that are shown of a trial that failed."""


@dataclass(frozen=True, slots=True)
class LaunchSeen:
    """A guarded effect that its target saw begin."""

    launch: Launch
    run_id: str
    epoch: int
    """Of the store, at that moment."""


@dataclass(slots=True)
class Record:
    """Steps and witnesses of one trial."""

    now: Callable[[], float]
    hits: Counter[str] = field(default_factory=Counter)
    """How often each kind of fault was hit."""
    acknowledgements: list[tuple[int, Acknowledgement]] = field(default_factory=list)
    """What executors and callers were told, with the store's epoch in which it was so."""
    launches: list[LaunchSeen] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What no part should do, in words."""
    steps: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_STEPS))
    whole: list[str] | None = None
    """Every step, where that was asked for."""
    _digest: Any = field(default_factory=hashlib.sha256)

    def step(self, who: str, what: str, **details: object) -> None:
        """Notes what happened."""
        said = " ".join(f"{name}={_short(value)}" for name, value in details.items())
        line = f"{self.now():9.4f}  {who:<12} {what}{' ' + said if said else ''}"
        self._digest.update(line.encode())
        self.steps.append(line)
        if self.whole is not None:
            self.whole.append(line)

    def hit(self, fault: str, who: str, **details: object) -> None:
        """Notes that a fault took place."""
        self.hits[fault] += 1
        self.step(who, f"** {fault}", **details)

    def digest(self) -> str:
        """Of all steps: the same for the same seed."""
        return str(self._digest.hexdigest())


def _short(value: object) -> str:
    text = str(dict(value)) if isinstance(value, Mapping) else str(value)
    return text if len(text) < 120 else f"{text[:117]}..."


class Ids:
    """Makes ids that look as those do which the programs make, by the seed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def uuid7(self) -> str:
        """In place of `uuid_utils.uuid7`."""
        return f"{self._chance.getrandbits(128):032x}"

    def token_hex(self, nbytes: int = 32) -> str:
        """In place of `secrets.token_hex`."""
        return f"{self._chance.getrandbits(nbytes * 8):0{nbytes * 2}x}"
