"""What runs wait for and what has arrived for them, as their readers see it; `projections` writes it."""

from typing import Any, Final

from sqlalchemy import func, literal_column, select
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.ids import ApprovalId, RunId
from perdure_control_plane.domain.inbox import FactState, InboxFact, Wait, WaitKind, WaitState
from perdure_control_plane.storage.run_events import recorded
from perdure_control_plane.storage.tables import run_events, run_inbox, run_waits


class Inbox:
    """Reads waits, and the facts that end them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_waits(self, run_ids: list[RunId]) -> list[Wait]:
        """What runs wait for, what ends by itself first."""
        wanted = run_waits.c.run_id.in_(run_ids) & (run_waits.c.state == WaitState.OPEN.value)
        return sorted((_wait(row) for row in self._connection.execute(_WAITS.where(wanted))), key=_ends_first)

    def is_open(self, wait: Wait) -> bool:
        """Whether nothing has resolved or closed a wait since it was read."""
        same = (run_waits.c.run_id == wait.run_id) & (run_waits.c.instance == wait.instance)
        query = select(run_waits.c.run_id).where(same, _TIMED, run_waits.c.deadline_at == wait.deadline_at)
        return self._connection.execute(query).first() is not None

    def wait_for_child(self, run_id: RunId, child_run_id: RunId) -> tuple[str, WaitState] | None:
        """The instance with which a run waited for a child's end, and where that wait stands; None where it never did."""
        of_child = (run_waits.c.child_run_id == child_run_id) & (run_waits.c.run_id == run_id)
        row = self._connection.execute(select(run_waits.c.instance, run_waits.c.state).where(of_child)).first()
        return None if row is None else (row[0], WaitState(row[1]))

    def waits_past_deadline(self, at: int, limit: int) -> list[Wait]:
        """Open waits whose time was over by then, the first that it was over for first."""
        due = _WAITS.where(_TIMED, run_waits.c.deadline_at <= at).order_by(run_waits.c.deadline_at, run_waits.c.run_id)
        return [_wait(row) for row in self._connection.execute(due.limit(limit))]

    def next_deadline(self, after: int) -> int:
        """When the time of the next open wait is over, after a time; 0 where none has one."""
        query = select(func.min(run_waits.c.deadline_at)).where(_TIMED, run_waits.c.deadline_at > after)
        return int(self._connection.execute(query).scalar_one() or 0)

    def awaits_signal(self, run_id: RunId, signal: str) -> bool:
        """Whether a wait for a signal of that name is open."""
        is_open = (run_waits.c.run_id == run_id) & (run_waits.c.state == WaitState.OPEN.value)
        query = select(run_waits.c.instance).where(is_open, run_waits.c.signal == signal).limit(1)
        return self._connection.execute(query).first() is not None

    def count_signals(self, run_id: RunId, signal: str = "") -> int:
        """How many signals of a name, or of any, are kept and nothing has taken."""
        query = select(func.count()).select_from(run_inbox).where(run_inbox.c.run_id == run_id, _KEPT)
        if signal:
            query = query.where(run_inbox.c.signal == signal)
        return int(self._connection.execute(query).scalar_one())

    def facts(self, run_id: RunId, after: int, limit: int) -> list[InboxFact]:
        """What has arrived for a run after a position in its log, by position."""
        same = (run_events.c.run_id == run_inbox.c.run_id) & (run_events.c.sequence == run_inbox.c.sequence)
        query = select(run_inbox.c.state, *run_events.c).join(run_events, same)
        wanted = query.where(run_inbox.c.run_id == run_id, run_inbox.c.sequence > after)
        rows = self._connection.execute(wanted.order_by(run_inbox.c.sequence).limit(limit))
        return [InboxFact(recorded(row[1:]), FactState(row[0])) for row in rows]


_WAITS: Final = select(
    run_waits.c.run_id,
    run_waits.c.instance,
    run_waits.c.kind,
    run_waits.c.approval_id,
    run_waits.c.signal,
    run_waits.c.opened_at,
    run_waits.c.deadline_at,
    run_waits.c.child_run_id,
)

_TIMED: Final = (run_waits.c.state == WaitState.OPEN.value) & (run_waits.c.deadline_at > literal_column("0"))

_KEPT: Final = (run_inbox.c.fact == "signal") & (run_inbox.c.state == FactState.OPEN.value)


def _ends_first(wait: Wait) -> tuple[bool, int, str]:
    return not wait.deadline_at, wait.deadline_at, wait.instance


def _wait(row: Any) -> Wait:
    run_id, instance, kind, approval_id, signal, opened_at, deadline_at, child_id = row
    approval, child = ApprovalId(approval_id) if approval_id else None, RunId(child_id) if child_id else None
    return Wait(RunId(run_id), instance, WaitKind(kind), approval, signal, opened_at, deadline_at, child)
