"""Plays many seeds at once, in processes that are replaced now and then, and adds up what was hit."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from tests.simulation.trial import Outcome, Stage, play

AT_ONCE: Final = 25
"""Seeds that one process plays before it ends; what was killed in its trials stays in its memory until then."""

MAX_FAILURES: Final = 3


@dataclass(slots=True)
class Soaked:
    """What many seeds came to."""

    played: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)


def soak(
    first: int, count: int, processes: int, said: Callable[[Soaked], None], *, enough: int = MAX_FAILURES
) -> Soaked:
    """Plays seeds from the first on, until all are played or `enough` have failed. `said` is told after each portion."""
    soaked = Soaked()
    portions = iter([range(at, min(at + AT_ONCE, first + count)) for at in range(first, first + count, AT_ONCE)])
    at_work = dict(_begun(portion) for portion in islice(portions, processes))
    while at_work:
        for receiver in wait(list(at_work)):
            outcome = _received(receiver)
            if outcome is None:
                at_work.pop(receiver).join()
                at_work.update(_begun(portion) for portion in islice(portions, 1))
                continue
            soaked.played += 1
            soaked.hits += outcome.hits
            if outcome.problems:
                soaked.failed.append(outcome)
            said(soaked)
        if len(soaked.failed) >= enough:
            for process in at_work.values():
                process.terminate()
            break
    return soaked


def _received(receiver: "Connection[Any, Any]") -> Outcome | None:
    try:
        outcome: Outcome | None = receiver.recv()
    except EOFError:
        raise RuntimeError("a process that played seeds has died") from None
    return outcome


def _begun(portion: range) -> tuple[Any, Any]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_play_all, args=(portion, sender))
    process.start()
    sender.close()
    return receiver, process


def _play_all(portion: range, sender: Any) -> None:
    import gc

    # What was killed must stay as it is, and nothing here lives long enough to be worth collecting.
    gc.disable()
    stage = Stage()
    for seed in portion:
        sender.send(play(stage, seed))
    sender.send(None)
    sender.close()
    os._exit(0)


def in_order(soaked: Soaked) -> Iterator[Outcome]:
    """The seeds that failed, from the lowest."""
    return iter(sorted(soaked.failed, key=lambda outcome: outcome.seed))
