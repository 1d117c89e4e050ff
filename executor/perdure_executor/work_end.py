"""The moment at which nothing may run any more, whether or not it can be ended."""

import asyncio
import contextlib
from typing import Final

import structlog

from perdure_executor.commands import SupervisorLost
from perdure_executor.held_runs import HeldRuns
from perdure_executor.host import THIS_HOST, Host
from perdure_executor.lease_keeper import LeaseKeeper
from perdure_executor.node_context import Equipment

log = structlog.get_logger(__name__)

THREADS_LEFT_EXIT_CODE: Final = 70
"""Exit code of an executor that ends itself because a function runs on past its work end, or past the end of its drain,
and cannot be ended in any other way, or because its event loop stands still past its work end."""


class WorkEnd:
    """Ends what runs when the work end has passed, at last the process, and tells the supervisor when that will be."""

    def __init__(self, held: HeldRuns, lease: LeaseKeeper, host: Host = THIS_HOST) -> None:
        self._held = held
        self._lease = lease
        self._host = host
        self._equipment: Equipment | None = None
        self._fed = 0.0
        self.turns = 0
        """How often the event loop has got round to looking at the clock; a watchdog's sign of life."""

    @property
    def has_passed(self) -> bool:
        """Whether something is held that may run no longer."""
        return self._held.count > 0 and self._host.seconds() >= self._lease.work_end

    def equip(self, equipment: Equipment) -> None:
        """Says where work runs."""
        self._equipment = equipment

    async def watch(self) -> None:
        """Looks at the clock for as long as the process works."""
        passed = 0.0
        while True:
            self.turns += 1
            await self.feed()
            work_end = self._lease.work_end
            if self._held.count and self._host.seconds() >= work_end:
                if work_end != passed:
                    log.error("lease.work_end_passed", held=self._held.count)
                self._held.stop_work()
                # Nobody can end a thread, and another executor may begin the same work now. A coroutine has a moment.
                if work_end == passed or (self._equipment is not None and self._equipment.calls.in_threads):
                    self.end_if_functions_run_on()
                passed = work_end
            await asyncio.sleep(min(0.2, self._lease.heartbeat_interval / 4))

    async def feed(self) -> None:
        """Tells the supervisor when everything must have ended, where it does not know."""
        work_end = self._lease.work_end
        if self._equipment is None or work_end == self._fed:
            return
        self._fed = work_end
        with contextlib.suppress(SupervisorLost):  # it says so itself, and this executor leaves
            await self._equipment.supervisor.feed_work_end(work_end)

    def end_if_functions_run_on(self) -> None:
        """Ends the process at once where a function has not come back: with it the function ends, and nothing is said
        of its run, whose lease lapses."""
        if self._equipment is not None and self._equipment.calls.running:
            log.error("executor.ends_itself", functions=self._equipment.calls.running)
            self._host.end_process(THREADS_LEFT_EXIT_CODE)
