"""Tells the other control planes of a database what a commit changed, and hears it from them.

A hint, over LISTEN and NOTIFY: it makes an answer come sooner, and one that is lost costs time and nothing else. What is
committed while one is on its way is told together with the next, outside any transaction, for a NOTIFY makes commits wait
for each other.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from perdure_control_plane.storage.postgres_driver import driver_of
from perdure_control_plane.storage.postgres_errors import is_of_the_store
from perdure_control_plane.storage.postgres_session import connected
from perdure_control_plane.storage.writer import Committed

log = structlog.get_logger(__name__)

CHANNEL: Final = "perdure_changes"
AT_ONCE: Final = 80
"""Runs that one notification names; the database takes 8,000 bytes."""
PAUSE_SECONDS: Final = 0.01
"""Between two notifications."""
RECONNECT_SECONDS: Final = (0.1, 5.0)
"""Pause before the connection is made again, at first and at most."""


class PostgresHints:
    """One connection, over which hints go out and come in."""

    def __init__(self, engine: AsyncEngine, heard: Callable[[Committed], None], missed: Callable[[], None]) -> None:
        """`heard` is called with what others changed; `missed` when there may have been more than was heard."""
        self._engine = engine
        self._heard = heard
        self._missed = missed
        self._own = uuid.uuid4().hex
        self._runs: dict[str, bool] = {}
        self._queued = self._approvals = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to listen and to tell."""
        self._task = asyncio.create_task(self._run(), name="hints")

    async def stop(self) -> None:
        """Ends both."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def tell(self, committed: Committed) -> None:
        """Notes what a commit changed; it is sent in a moment."""
        for run_id in committed.run_ids:
            self._runs.setdefault(run_id, False)
        for run_id in committed.facts:
            self._runs[run_id] = True
        self._queued = self._queued or committed.queued
        self._approvals = self._approvals or committed.approvals
        self._wake.set()

    async def _run(self) -> None:
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                async with connected(self._engine) as connection:
                    pause = RECONNECT_SECONDS[0]
                    try:
                        await self._serve(driver_of(connection))
                    finally:
                        await connection.invalidate()  # it listens; nobody else is to get it
            except Exception as error:  # whatever it is, hints are missed until the connection is made again
                fault = None if is_of_the_store(error) else error
                log.warning("hints.lost", error=type(error).__name__, again_in_seconds=pause, exc_info=fault)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RECONNECT_SECONDS[1])

    async def _serve(self, connection: Any) -> None:
        # What is told is committed elsewhere: nobody has to wait until the telling is on a disk, and no commit behind it.
        await connection.execute("SET synchronous_commit = off")
        # A connection that ends by itself wakes the sending, which then fails: nobody would hear anything any more.
        connection.add_termination_listener(lambda _: self._wake.set())
        await connection.add_listener(CHANNEL, self._receive)
        self._missed()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if connection.is_closed():
                raise ConnectionError
            while self._runs or self._queued:
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self._next())
                await asyncio.sleep(PAUSE_SECONDS)

    def _next(self) -> str:
        some = list(self._runs)[:AT_ONCE]
        told = {run_id: self._runs.pop(run_id) for run_id in some}
        queued, self._queued = self._queued, False
        approvals, self._approvals = self._approvals, False
        return json.dumps({"from": self._own, "runs": told, "queued": queued, "approvals": approvals})

    def _receive(self, connection: Any, process: int, channel: str, payload: str) -> None:
        said = json.loads(payload)
        if said["from"] != self._own:
            runs = said["runs"]
            facts = [run_id for run_id, fact in runs.items() if fact]
            self._heard(Committed(list(runs), facts, said["queued"], approvals=said["approvals"]))
