"""One case: what was asked, what came of it, and what is wrong with that."""

import pathlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import Message

from tests.fuzz.calls import Answer, Line
from tests.fuzz.population import Population
from tests.fuzz.servers import Servers

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case. `asked` says what it was, so that it can be told to people."""

    subject: str
    """The call, or the reader of a file."""
    word: str
    """What it is counted as: a reason, or a code."""
    asked: str = ""
    fault: str = ""


@dataclass
class Place:
    """Where cases are played."""

    servers: Servers
    line: Line
    directory: pathlib.Path
    population: Population
    people: dict[str, Metadata] = field(repr=False)
    number: int = 0
    """Of the case that is played."""

    def caller(self, chance: random.Random, path: str) -> Metadata:
        """Who asks: mostly somebody who may."""
        draw = chance.random()
        if draw < 0.05:
            text = chance.choice(list(self.population.keys.values()))
            return (("authorization", f"Bearer {text}"),)
        if draw < 0.06:
            return ()
        return self.people["reviewer" if path.endswith("DecideApproval") else "admin"]

    def ask(self, path: str, request: Message, metadata: Metadata) -> Answer:
        """Makes a call with one message."""
        return self.line.ask(path, [request.SerializeToString()], metadata)


Kind = Callable[[random.Random, Place], Outcome]


def told(request: Message) -> str:
    """A request in words, of a length that people read."""
    words = str(request).strip() or "(empty)"
    return words if len(words) < 3000 else f"{words[:3000]} ... {len(words)} signs"


def call_of(path: str) -> str:
    """The last word of a call's path."""
    return path.rpartition("/")[2][:40]
