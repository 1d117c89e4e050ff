"""Cases one after the other: which kind each is, where they are played, and what they add up to."""

import pathlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.calls import Line
from tests.fuzz.case import Kind, Outcome, Place
from tests.fuzz.kinds.asking import raw, requests
from tests.fuzz.kinds.documents import expressions, manifests, schemas
from tests.fuzz.kinds.files import files
from tests.fuzz.kinds.proofs import approval_tokens, credentials, cursors
from tests.fuzz.kinds.streams import followers, streams
from tests.fuzz.population import Population, populate
from tests.fuzz.servers import Servers
from tests.fuzz.working import Player

KINDS: Final[dict[str, tuple[Kind, int]]] = {
    "requests": (requests, 40), "raw": (raw, 12), "credentials": (credentials, 7), "approval-tokens": (approval_tokens, 6),
    "cursors": (cursors, 8), "manifests": (manifests, 7), "expressions": (expressions, 5), "schemas": (schemas, 5),
    "streams": (streams, 3), "followers": (followers, 2), "files": (files, 5),
}  # fmt: skip
"""What there is to bend, and how many of a hundred cases are of it."""
AT_ONCE: Final = 1000
"""Cases of a portion: they share what the server has been given, and a failure is played again with those before it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that went wrong, and what was said meanwhile."""

    number: int
    kind: str
    outcome: Outcome


@dataclass(slots=True)
class Tally:
    """What cases came to."""

    cases: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By what was asked, and what it was answered."""
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Adds what others came to."""
        self.cases += other.cases
        self.kinds += other.kinds
        self.answers += other.answers
        self.failures += other.failures


def kind_of(chance: random.Random, only: Sequence[str]) -> str:
    """Which kind a case is."""
    chosen = list(only) or list(KINDS)
    return chance.choices(chosen, [KINDS[name][1] for name in chosen])[0]


def play_portion(
    servers: Servers,
    directory: pathlib.Path,
    seed: int,
    numbers: range,
    only: Sequence[str],
    said: Callable[[str], None],
) -> Tally:
    """Fills the server anew and plays the cases of a portion, until one of the programs has ended."""
    line = Line(servers.address)
    try:
        population = Population(line, f"-{seed}-{numbers.start:07}", audited=servers.audited)
        people = population.people()
        populate(population, Player(line, people["admin"]))
        place = Place(servers, line, directory, population, people)
        tally = Tally()
        for number in numbers:
            _play(place, seed, number, only, tally, said)
            if any("ended with" in failure.outcome.fault for failure in tally.failures[-1:]):
                break
        return tally
    finally:
        line.close()


def _play(place: Place, seed: int, number: int, only: Sequence[str], tally: Tally, said: Callable[[str], None]) -> None:
    chance = random.Random(f"{seed}/{number}")
    kind = kind_of(chance, only)
    place.number = number
    outcome = KINDS[kind][0](chance, place)
    faults = [*([outcome.fault] if outcome.fault else []), *place.servers.faults()]
    tally.cases += 1
    tally.kinds[kind] += 1
    tally.answers[outcome.subject, outcome.word] += 1
    if faults:
        wrong = Outcome(outcome.subject, outcome.word, outcome.asked, "\n".join(faults)[:8000])
        tally.failures.append(Failure(number, kind, wrong))
        said(told_failure(seed, tally.failures[-1], only))


def told_failure(seed: int, failure: Failure, only: Sequence[str]) -> str:
    """A failure in words, and how it is played again."""
    outcome = failure.outcome
    again = f"make fuzz SEED={seed} CASE={failure.number}" + (f" ONLY={','.join(only)}" if only else "")
    return f"case {failure.number}, {failure.kind}: {outcome.subject}: {outcome.fault}\n{outcome.asked}\nagain: {again}"
