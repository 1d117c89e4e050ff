"""An event loop whose clock jumps to the next timer, and whose processes take turns by chance.

Everything is done in one thread, without input and output. Each task belongs to a process: one that was killed never
runs again, not even to clean up, and one that is suspended stands still while the others' time goes on. Within a process
the order is asyncio's own: first come, first served.
"""

import asyncio
import contextvars
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

PROCESS: Final[contextvars.ContextVar["Process"]] = contextvars.ContextVar("process")

EPOCH: Final = 1_700_000_000.0
"""The time at which every trial begins, in seconds since 1970."""


MOST_STEPS: Final = 100_000
"""A trial takes some thousands; one that takes so many goes round in circles."""


class Stuck(Exception):
    """What was to happen has not: nothing is left that could ever happen, or the same happens again and again."""


class Process:
    """What is killed, suspended and resumed as one."""

    def __init__(self, loop: "SimulatedLoop", name: str) -> None:
        self.name: Final = name
        self.alive = True
        self.suspended = False
        self.ready: Final[deque[asyncio.Handle]] = deque()
        self._loop = loop
        self._context = contextvars.Context()
        self._context.run(PROCESS.set, self)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Begins a task of this process."""
        return self._loop.create_task(work, context=self._context.copy())

    def after(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        """Calls something in this process, later; never where it is killed before."""
        self._loop.call_later(seconds, call, *arguments, context=self._context)

    def kill(self) -> None:
        """Ends the process in the middle of whatever it does."""
        self.alive = False
        self.ready.clear()

    def suspend(self) -> None:
        """Lets the process stand still; its timers go off when it is resumed."""
        self.suspended = True

    def resume(self) -> None:
        """Lets it go on."""
        self.suspended = False
        self._loop.woken(self)


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of one trial."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._now = 0.0
        self._turns: list[Process] = []
        """Processes that may have something to do, in the order in which they came to have it."""
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()
        self._tasks: list[asyncio.Task[Any]] = []
        """Every task ever made: one that was killed must not be closed, for that would run its clean-up."""
        self._running = False
        self.faults: Final[list[str]] = []
        """What nobody caught."""
        self.world: Final = Process(self, "world")

    def run_until_complete(self, future: Any) -> Any:
        """Runs until a future is done. Raises Stuck."""
        task = self.world.spawn(future)
        asyncio.events._set_running_loop(self)  # what asyncio.Runner does, too
        self._running = True
        try:
            for _ in range(MOST_STEPS):
                if task.done():
                    return task.result()
                self._turn()
            raise Stuck("it goes round in circles")
        finally:
            self._running = False
            asyncio.events._set_running_loop(None)

    def _turn(self) -> None:
        turns = self._turns
        while turns:
            index = int(self._chance.random() * len(turns)) if len(turns) > 1 else 0
            process = turns[index]
            if not process.ready or process.suspended:
                del turns[index]
                continue
            handle = process.ready.popleft()
            if not handle.cancelled():
                handle._run()
                return
        self._pass_time()

    def _pass_time(self) -> None:
        if not self._timers:
            raise Stuck("nothing is left to happen")
        when = self._timers[0][0]
        self._now = max(self._now, when)
        while self._timers and self._timers[0][0] <= self._now:
            _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._make_ready(timer)

    def _make_ready(self, handle: asyncio.Handle) -> None:
        process = _process_of(handle._context, self.world)
        if process.alive:
            process.ready.append(handle)
            self.woken(process)

    def woken(self, process: Process) -> None:
        """A process may have something to do."""
        if process not in self._turns:
            self._turns.append(process)

    def time(self) -> float:
        """Seconds since the trial began."""
        return self._now

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        """As asyncio has it."""
        handle = asyncio.Handle(callback, args, self, context)
        self._make_ready(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio has it."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio has it."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    def create_future(self) -> "asyncio.Future[Any]":
        """As asyncio has it."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> "asyncio.Task[Any]":
        """As asyncio has it."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Calls a function at once: there are no threads here."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # handed on to whoever waits for the thread
            done.set_exception(error)
        return done

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keeps what nobody caught."""
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        """As asyncio has it."""
        return False

    def is_running(self) -> bool:
        """As asyncio has it."""
        return self._running

    def is_closed(self) -> bool:
        """As asyncio has it."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is passed over when its time comes."""


def _process_of(context: contextvars.Context, otherwise: Process) -> Process:
    return context.get(PROCESS, otherwise)
