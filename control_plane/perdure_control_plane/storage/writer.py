"""The writer: whatever arrived while the last commit ran goes into the next.

Holders' batches are appended together; every other body runs under a savepoint of its own, as one synchronous call. No
answer leaves before the commit.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from perdure.v1 import execution_pb2
from perdure_control_plane.domain.admission import Answer, Batch, Refused
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.storage.writer_session import Session

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_EVENTS: Final = 1000
"""Events a commit takes. Without a bound all runs fall into one step, and committing and computing take turns."""

MAX_BODIES: Final = 200
"""Bodies a commit takes."""

ALONE_SECONDS: Final = 60.0
"""How long a run whose events made a commit fail has commits of its own."""

RETRY_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses before batches that the store could not take are tried again; the last one repeats."""

BUSY_SECONDS: Final = 0.005
"""Pause where every batch of a commit is of a run that another transaction is writing to."""

CLOSED: Final = "the server is stopping; try again when it has started"
BROKEN: Final = (
    "an error has ended the store's writer, and the server's log has it; start the server again: what was acknowledged"
    " is there"
)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit changed, for whoever waits for changes."""

    run_ids: Sequence[str]
    """Runs that got events."""
    facts: Sequence[str]
    """Those of them that got events from outside, which their holder must be sent."""
    queued: bool
    """Whether a run became ready for an executor."""
    messages: bool = False
    """Whether a run has to tell another something."""
    grown: Sequence[str] = ()
    """Runs whose log has grown by another piece."""
    approvals: bool = False
    """Whether something may have happened to an approval."""


@dataclass(slots=True)
class _Append:
    batch: Batch
    reply: Callable[[Answer], None]


@dataclass(slots=True)
class _Body:
    call: Callable[[SqlTransaction], Any]
    done: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None

    def answer(self) -> None:
        """Says what became of it, unless that was said, or nobody waits for it any more."""
        if self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)


@dataclass(slots=True)
class _Group:
    appends: list[_Append]
    bodies: list[_Body]
    answers: Sequence[Answer | None] = ()
    appended: Sequence[str] = ()
    facts: Sequence[str] = ()
    queued: bool = False
    messages: bool = False
    grown: Sequence[str] = ()
    approvals: bool = False


class Writer:
    """Groups writes into commits."""

    def __init__(
        self,
        session: Session,
        committed: Callable[[Committed], None],
        failed: Callable[[str], None],
    ) -> None:
        """`failed` is called with a sentence where an error that it cannot recover from ends the writer."""
        self._session = session
        self._committed = committed
        self._failed = failed
        self._appends: deque[_Append] = deque()
        self._bodies: deque[_Body] = deque()
        self._wake = asyncio.Event()
        self._failures = 0
        self._alone_until: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._refusal = CLOSED
        self._fault: Exception | None = None
        self._taken = _Group([], [])

    def start(self) -> None:
        """Begins to commit."""
        self._task = asyncio.create_task(self._run(), name="writer")

    async def stop(self) -> None:
        """Commits what was submitted and can be stored now, then ends. What is submitted later is refused."""
        self._closed = True
        self._wake.set()
        if self._task is not None:
            await self._task
        _refuse(self._bodies, CLOSED)

    def append(self, batch: Batch, reply: Callable[[Answer], None]) -> None:
        """Submits a holder's batch. `reply` is called on this loop after the commit, or never where the writer ends."""
        self._appends.append(_Append(batch, reply))
        self._wake.set()

    async def write(self, body: Callable[[SqlTransaction], T], *, first: bool = False) -> T:
        """Runs a body in the next commit and returns what it returned, or raises what it raised, after that commit.

        `first` puts it before everything that waits. Raises StoreUnavailable where the store cannot write now.
        """
        if self._closed:
            raise StoreUnavailable("sqlite", self._refusal)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        submitted = _Body(body, done)
        if first:
            self._bodies.appendleft(submitted)
        else:
            self._bodies.append(submitted)
        self._wake.set()
        return await done

    def fail(self, error: Exception) -> None:
        """Ends the writer for an error that somebody else has met, as if it had met it itself."""
        self._fault = error
        self._wake.set()

    async def _run(self) -> None:
        try:
            await self._write_on()
        except Exception as error:  # nothing is written from here on, and whoever waits must know
            log.exception("writer.failed")
            self._closed, self._refusal = True, self._session.damage(error) or BROKEN
            _refuse([*self._taken.bodies, *self._bodies], self._refusal)
            self._failed(self._refusal)

    async def _write_on(self) -> None:
        while not self._closed or self._appends or self._bodies:
            await self._wake.wait()
            self._wake.clear()
            while self._fault is None and (self._appends or self._bodies):
                group = self._taken = self._take()
                failure = await self._attempt(group)
                if failure is not None:
                    await self._recover(group, failure)
                elif group.appends and not any(group.answers):
                    await asyncio.sleep(BUSY_SECONDS)
            if self._fault is not None:
                raise self._fault

    def _take(self) -> _Group:
        appends: list[_Append] = []
        events = 0
        while self._appends and (not appends or events + len(self._appends[0].batch.events) <= MAX_EVENTS):
            alone = self._alone_until and self._is_alone(self._appends[0].batch.run_id)
            if alone and appends:
                break
            appends.append(self._appends.popleft())
            events += len(appends[-1].batch.events)
            if alone:
                break
        bodies = [self._bodies.popleft() for _ in range(min(len(self._bodies), MAX_BODIES))]
        return _Group(appends, bodies)

    def _is_alone(self, run_id: str) -> bool:
        until = self._alone_until.get(run_id)
        if until is not None and until < asyncio.get_running_loop().time():
            del self._alone_until[run_id]
        return run_id in self._alone_until

    def _execute(self, group: _Group, transaction: SqlTransaction) -> None:
        if group.appends:
            appended = transaction.append([append.batch for append in group.appends])
            group.answers, group.appended, group.queued = appended.answers, appended.runs, appended.queued
            group.grown = appended.grown
        for body in group.bodies:
            self._run_body(transaction, body)
        if transaction.log.changed:
            group.facts = [run.run_id for run in transaction.log.changed]
            group.queued = group.queued or any(run.head.calls_executors for run in transaction.log.changed)
        group.messages = transaction.projections.messages.sent
        group.approvals = transaction.projections.approval_changes.noted

    def _run_body(self, transaction: SqlTransaction, body: _Body) -> None:
        def call() -> None:
            body.result = body.call(transaction)

        body.error = transaction.apart(call)

    def _deliver(self, group: _Group) -> None:
        # Whoever waits for a body runs before those who are woken by the answers: what both say becomes one message.
        for body in group.bodies:
            body.answer()
        busy: list[_Append] = []
        for append, answer in zip(group.appends, group.answers, strict=True):
            if answer is None:
                busy.append(append)
            else:
                append.reply(answer)
        self._appends.extendleft(reversed(busy))
        if group.appended or group.facts:
            runs = [*group.appended, *group.facts]
            committed = Committed(runs, group.facts, group.queued, group.messages, group.grown, group.approvals)
            self._committed(committed)

    async def _recover(self, group: _Group, error: Exception) -> None:
        """Does each part of a group that failed again, alone, so that only the culprit suffers."""
        log.warning("commit.failed", error=repr(error), appends=len(group.appends), bodies=len(group.bodies))
        for body in group.bodies:
            failure = await self._attempt(_Group([], [body]))
            if failure is not None and not body.done.done():
                body.done.set_exception(self._session.unavailable(failure) or failure)
        stuck = await self._append_halving(group.appends)
        if stuck and self._closed:
            # Their holders have no answer, and send them to the server that comes after this one.
            log.warning("append.left", batches=len(stuck))
        elif stuck:
            # Nothing is lost: the batches keep their place, and their holders keep the work until they have an answer.
            self._appends.extendleft(reversed(stuck))
            pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
            self._failures += 1
            await asyncio.sleep(pause)

    async def _append_halving(self, appends: list[_Append]) -> list[_Append]:
        """Appends what can be, and returns the batches that the store could not take now."""
        failure = await self._attempt(_Group(appends, [])) if appends else None
        if failure is None:
            return []
        if isinstance(failure, StoreUnavailable) and not failure.one_row:
            return appends  # of the whole store, so that a part of them fares no better
        if len(appends) > 1:
            middle = len(appends) // 2
            return await self._append_halving(appends[:middle]) + await self._append_halving(appends[middle:])
        if self._session.unavailable(failure) is not None:
            return appends
        batch = appends[0].batch
        log.error("append.failed", run=batch.run_id, error=repr(failure))
        self._alone_until[batch.run_id] = asyncio.get_running_loop().time() + ALONE_SECONDS
        why = "the store refused the events; the server's log says why"
        appends[0].reply(Refused(batch.first_ordinal, execution_pb2.REFUSAL_REASON_MALFORMED, why))
        return []

    async def _attempt(self, group: _Group) -> Exception | None:
        try:
            await self._session.transact(lambda transaction: self._execute(group, transaction))
        except Exception as error:  # handed to the caller, who sorts it
            if self._session.damage(error) is not None:
                raise  # and tried by nobody again
            return error
        self._failures = 0
        self._deliver(group)
        return None


def _refuse(bodies: Iterable[_Body], why: str) -> None:
    for body in bodies:
        if not body.done.done():
            body.done.set_exception(StoreUnavailable("sqlite", why))
