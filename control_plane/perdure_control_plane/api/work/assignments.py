"""Hands ready runs to an executor while it has room."""

import asyncio
import random
from collections.abc import Iterable
from typing import Final

from perdure.v1 import execution_pb2
from perdure.v1.execution_pb2 import WorkResponse
from perdure_control_plane.api.work.deliveries import Deliveries
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.outbox import Outbox
from perdure_control_plane.api.work.waiting import wait_for
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import LeaseId, RunId
from perdure_control_plane.usecases.claim_runs import Claim, Claimed, claim_runs
from perdure_control_plane.usecases.fold_run import READ_AT_ONCE

CLAIM_AT_ONCE: Final = 100
HISTORY_BYTES: Final = 1024 * 1024
IDLE_POLL_SECONDS: Final = (1.0, 30.0)
"""How long an executor with room waits before it looks into an empty queue again, at first and at most."""


class Assignments:
    """Claims as many ready runs as there is room for, and sends each with its plan and its log."""

    def __init__(self, desk: Desk, executor: Executor, outbox: Outbox, deliveries: Deliveries) -> None:
        self._desk = desk
        self._executor = executor
        self._outbox = outbox
        self._deliveries = deliveries
        self._unconfirmed: dict[int, tuple[RunId, LeaseId]] = {}
        self._free = 0
        self._last_number = 0
        self._room = asyncio.Event()
        self._stopped = False
        self._plans_sent: set[bytes] = set()

    @property
    def last_number(self) -> int:
        """Number of the last assignment; they count from 1 on each stream."""
        return self._last_number

    def stop(self) -> None:
        """Hands out nothing more."""
        self._stopped = True

    def take_credits(self, credits: execution_pb2.Credits) -> None:
        """Takes in how much room there is. Absolute: what was assigned after the number it names is not in its count."""
        self._free = credits.free - (self._last_number - credits.last_assignment)
        if self._free > 0:
            self._room.set()

    def confirm(self, numbers: Iterable[int]) -> list[tuple[RunId, LeaseId]]:
        """The assignments that the executor has now said it received."""
        return [self._unconfirmed.pop(number) for number in numbers if number in self._unconfirmed]

    async def hand_out(self) -> None:
        """Goes on until `stop` or the server's end; each wait ends with a ready run, with room, or after a while."""
        wake = asyncio.Event()
        end = self._desk.changes.await_work(wake)
        pause = IDLE_POLL_SECONDS[0]
        try:
            while True:
                await self._room.wait()
                wake.clear()
                if self._stopped or self._desk.changes.draining:
                    return
                wanted = min(self._free, CLAIM_AT_ONCE)
                claimed = await self._claim(wanted) if wanted > 0 else 0
                if self._free <= 0:
                    self._room.clear()
                if claimed:
                    pause = IDLE_POLL_SECONDS[0]
                if claimed < wanted:
                    await wait_for(wake, pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
                    pause = min(pause * 2, IDLE_POLL_SECONDS[1])
        finally:
            end()

    async def _claim(self, wanted: int) -> int:
        executor, generation = self._executor, self._desk.identity.generation
        claim = Claim(executor.incarnation, executor.stream_number, wanted, self._last_number + 1, generation)
        claimed = await claim_runs(self._desk.store, self._desk.timing, claim)
        self._free -= len(claimed)
        self._last_number += len(claimed)
        for taken in claimed:
            self._unconfirmed[taken.number] = (taken.run.run_id, taken.lease_id)
            self._deliveries.hold(taken.run.run_id, taken.lease_id, taken.run.head.outside_sequence)
        for taken in claimed:
            await self._send(taken)
        return len(claimed)

    async def _send(self, taken: Claimed) -> None:
        digest = taken.run.identity.plan_digest
        known = digest in self._plans_sent
        granted = taken.run.head.last_sequence
        has = taken.log[-1].sequence if taken.log else 0
        assignment = execution_pb2.Assignment(
            number=taken.number,
            run_id=taken.run.run_id,
            lease_id=taken.lease_id,
            plan_digest=digest,
            plan=b"" if known else await self._desk.store.read(lambda tx: tx.playbooks.plan(digest)),
            events=taken.log,
            history_follows=has < granted,
        )
        self._outbox.say(WorkResponse(assignments=[assignment]))
        self._plans_sent.add(digest)
        while has < granted:
            piece = await self._desk.store.read(
                lambda tx, after=has: tx.events.after(  # type: ignore[misc]  # default binds now
                    taken.run.run_id, after, limit=READ_AT_ONCE, max_bytes=HISTORY_BYTES
                )
            )
            has = piece[-1].sequence
            history = execution_pb2.History(number=taken.number, events=piece, last=has >= granted)
            self._outbox.say(WorkResponse(histories=[history]))
