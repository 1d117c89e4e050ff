"""Hands ready runs to an executor while it has room."""

import asyncio
import random
from collections.abc import Iterable
from typing import Final

import structlog

from perdure.runlog.snapshots import FORM
from perdure.v1 import execution_pb2
from perdure.v1.execution_pb2 import WorkResponse
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api.work.deliveries import Deliveries
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.outbox import Outbox
from perdure_control_plane.api.work.waiting import wait_for
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.executor import Executor
from perdure_control_plane.domain.ids import LeaseId, RunId
from perdure_control_plane.domain.limits import QUEUE_POLL, SECOND
from perdure_control_plane.usecases.claim_runs import Claim, Claimed, claim_runs
from perdure_control_plane.usecases.fold_run import READ_AT_ONCE, readable_snapshot
from perdure_control_plane.usecases.take_over import take_back_undelivered

log = structlog.get_logger(__name__)

CLAIM_AT_ONCE: Final = 100
HISTORY_BYTES: Final = 1024 * 1024
IDLE_POLL_SECONDS: Final = (1.0, QUEUE_POLL / SECOND)
"""How long an executor with room waits before it looks into an empty queue again, at first and at most."""

RATE_SECONDS: Final = 0.05
"""How long it leaves a queue alone at least whose rate is used up: what came free meanwhile is handed out at once."""


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
                claimed, again_after = await self._claim(wanted) if wanted > 0 else (0, 0)
                if self._free <= 0:
                    self._room.clear()
                if claimed:
                    pause = IDLE_POLL_SECONDS[0]
                if claimed < wanted:
                    longest = pause * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret
                    # What a rate keeps back comes when the rate lets it; nobody else says when that is.
                    await wait_for(
                        wake, min(longest, max(again_after / SECOND, RATE_SECONDS)) if again_after else longest
                    )
                    pause = min(pause * 2, IDLE_POLL_SECONDS[1])
        finally:
            end()

    async def _claim(self, wanted: int) -> tuple[int, int]:
        """How many runs were claimed, and microseconds until a rate lets more be; 0 where none keeps any back."""
        executor, generation = self._executor, self._desk.identity.generation
        claim = Claim(executor.incarnation, executor.stream_number, wanted, self._last_number + 1, generation)
        handed_out = await claim_runs(self._desk.store, self._desk.timing, claim)
        claimed = handed_out.claimed
        self._free -= len(claimed)
        self._last_number += len(claimed)
        for taken in claimed:
            self._unconfirmed[taken.number] = (taken.run.run_id, taken.lease_id)
        untold = [taken.number for taken in claimed if not await self._told(taken)]
        # The executor has no run under these numbers: its room is as it was, and the last of them are used again.
        self._free += len(untold)
        while self._last_number in untold:
            self._last_number -= 1
        return len(claimed), handed_out.again_after

    async def _told(self, taken: Claimed) -> bool:
        """Sends a run to the executor. False where it was not told of it.

        A run that cannot be read is taken back, and held after some attempts; the others do not wait for it. What the
        executor has got of its log, it is told to drop at its next heartbeat.
        """
        digest = taken.run.identity.plan_digest
        told = False
        try:
            plan = (
                b"" if digest in self._plans_sent else await self._desk.store.read(lambda tx: tx.playbooks.plan(digest))
            )
            self._say(taken, plan)
            told = True
            await self._send_rest(taken)
        except DataCorrupt as error:
            self._deliveries.let_go(taken.run.run_id, taken.lease_id)
            # Where another copy of the data has taken this one's place since the claim, there was nothing to be read.
            if await take_back_undelivered(self._desk.store, self._desk.timing, taken.run.run_id, taken.lease_id):
                log.error("run.unreadable", run=taken.run.run_id, error=str(error))
        return told

    def _say(self, taken: Claimed, plan: bytes) -> None:
        assignment = execution_pb2.Assignment(
            number=taken.number,
            run_id=taken.run.run_id,
            lease_id=taken.lease_id,
            plan_digest=taken.run.identity.plan_digest,
            plan=plan,
            events=taken.log,
            history_follows=_last_sequence(taken.log) < taken.run.head.last_sequence,
        )
        self._outbox.say(WorkResponse(assignments=[assignment]))
        self._plans_sent.add(taken.run.identity.plan_digest)
        # No fact is delivered ahead of the assignment: the executor could not make anything of it.
        self._deliveries.hold(taken.run.run_id, taken.lease_id, taken.run.head.outside_sequence)

    async def _send_rest(self, taken: Claimed) -> None:
        after, granted = _last_sequence(taken.log), taken.run.head.last_sequence
        if after >= granted:
            return
        if not after:
            after = await self._send_snapshot(taken)
        while True:
            piece = await self._read(taken.run.run_id, after) if after < granted else []
            if not piece and after < granted:
                raise DataCorrupt(f"runs/{taken.run.run_id}", f"its log ends at {after}, and {granted} were stored")
            after = _last_sequence(piece) or after
            # A snapshot may have been taken since the claim: then nothing is after it that must be sent now.
            history = execution_pb2.History(number=taken.number, events=piece, last=after >= granted)
            self._outbox.say(WorkResponse(histories=[history]))
            if history.last:
                return

    async def _read(self, run_id: RunId, after: int) -> list[RecordedEvent]:
        return await self._desk.store.read(
            lambda tx: tx.events.after(run_id, after, limit=READ_AT_ONCE, max_bytes=HISTORY_BYTES)
        )

    async def _send_snapshot(self, taken: Claimed) -> int:
        """Sends the snapshot of a long log in pieces, where there is one that the executor can read; its sequence, or 0."""
        run = taken.run
        if self._executor.snapshot_form != FORM:
            return 0
        found = await self._desk.store.read(lambda tx: readable_snapshot(tx, run))
        if found is None:
            return 0
        whole = found.walk.state + found.walk.contents
        for first in range(0, len(whole), HISTORY_BYTES):
            piece = whole[first : first + HISTORY_BYTES]
            self._outbox.say(WorkResponse(histories=[execution_pb2.History(number=taken.number, snapshot=piece)]))
        return found.walk.sequence


def _last_sequence(log: list[RecordedEvent]) -> int:
    return log[-1].sequence if log else 0
