"""What the server acknowledged to the driver: every such answer must be found in the logs."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from perdure.client import CallFailed
from perdure.v1.run_events_pb2 import RunEvent

Answer = TypeVar("Answer")

EXPECTED: Final = frozenset({
    "ANSWER_STALE", "APPROVAL_CLOSED", "APPROVAL_DECIDED", "CONFLICT", "CONTINUE_NEEDS", "EFFECT_MAY_RUN", "NOT_HELD",
    "NOT_IN_DOUBT", "PARENT_DOES_NOT_WAIT", "REPORT_UNSEEN", "RUN_STATE", "STOP_STANDS",
})  # fmt: skip
"""Refusals of whoever was too late; they look again and ask something else, or nothing."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: the run's log has reached `sequence`, and an event in it `says` what was asked for."""

    run_id: str
    sequence: int
    what: str
    says: Callable[[RunEvent], bool]


@dataclass(slots=True)
class Record:
    """The driver's own record."""

    told: list[Told] = field(default_factory=list)
    refused: "Counter[str]" = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """Answers that no server should give."""

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Asks until there is an answer, and passes over servers that are away. None where the server refuses.

        The call must be the same each time, its request id and key with it: nobody knows what the killed server did.
        """
        while True:
            try:
                return await call()
            except CallFailed as failure:
                if failure.reason in EXPECTED:
                    self.refused[failure.reason] += 1
                    return None
                if not failure.lost:
                    self.broken.append(str(failure))
                    return None
            await asyncio.sleep(0.1)
