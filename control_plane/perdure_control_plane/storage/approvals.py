"""Approvals, as their readers see them; `projections` writes them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from itertools import chain
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, literal_column, or_, select, tuple_
from sqlalchemy.engine import Connection, Dialect

from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.approval import (
    Approval,
    ApprovalKind,
    ApprovalState,
    CloseReason,
    Decision,
    FourEyes,
    OnTimeout,
    Vote,
)
from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.ids import ApprovalId, FlowId, Principal
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.storage.lists import pack, unpack
from perdure_control_plane.storage.run_events import recorded
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import approval_events, approval_votes, approvals, run_events, runs

_IS_OPEN = approvals.c.state == literal_column(f"'{ApprovalState.OPEN.value}'")
"""As the index of those that are open has it: SQLite uses that for the very same words alone."""

_OPEN, _CLOSED = range(2)
"""The two parts of a list, in their order."""


class ApprovalStatements:
    """Statements over `approvals`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        wanted = select(*approvals.c).where(approvals.c.approval_id == bindparam("approval_id"))
        self.get: Final = Prepared(wanted, dialect)


class Approvals:
    """Reads approvals."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: ApprovalStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def get(self, approval_id: ApprovalId) -> Approval:
        """The approval, without its subject. Raises NotFound."""
        row = self._statements.get.execute_row(self._driver, (approval_id,)).fetchone()
        if row is None:
            raise NotFound(f"approvals/{approval_id}")
        return approval_of(row)

    def page(
        self, wanted: ApprovalFilter, after: tuple[int, int, int, str] | None, limit: int, now: int = 0
    ) -> list[tuple[Approval, Any]]:
        """Approvals in their order after a place, each with its own place. `now` says which are overdue.

        Open ones come first, by deadline; then the others, the latest closed first. A place begins with the time as of
        which they are open, so that one that is closed while its list is being read keeps its place. Each part is read in
        the order of an index, so that a page costs what is on it, however many approvals there are.
        """
        as_of, rank, *last = after if after is not None else (self._last_closed(), _OPEN)
        every = select(approvals).where(*matching(wanted, now))
        found = self._open(every, _halves(wanted, as_of), last, limit) if rank == _OPEN else []
        if len(found) < limit and _may_be_closed(wanted):
            found += self._closed(every, as_of, last if rank == _CLOSED else [], limit - len(found))
        return [(approval_of(row), (as_of, *place)) for place, row in found]

    def _open(
        self, every: Select[Any], halves: Iterable[ColumnElement[bool]], last: Sequence[Any], limit: int
    ) -> list[tuple[Any, Any]]:
        key = (approvals.c.deadline_at, approvals.c.approval_id)
        query = every.where(tuple_(*key) > last) if last else every
        read = (query.where(half).order_by(*key).limit(limit) for half in halves)
        rows = chain(*(self._connection.execute(half) for half in read))
        return sorted(((_OPEN, row.deadline_at, row.approval_id), row) for row in rows)[:limit]

    def _closed(self, every: Select[Any], as_of: int, last: Sequence[Any], limit: int) -> list[tuple[Any, Any]]:
        closed_at, approval_id = approvals.c.closed_at, approvals.c.approval_id
        query = every.where(closed_at > 0, closed_at <= as_of)
        if last:
            query = query.where(closed_at <= -last[0], (closed_at < -last[0]) | (approval_id > last[1]))
        rows = self._connection.execute(query.order_by(closed_at.desc(), approval_id).limit(limit))
        return [((_CLOSED, -row.closed_at, row.approval_id), row) for row in rows]

    def _last_closed(self) -> int:
        return int(self._connection.execute(select(func.coalesce(func.max(approvals.c.closed_at), 0))).scalar_one())

    def history(self, approval_id: ApprovalId) -> list[RecordedEvent]:
        """What has happened to an approval while it was open, in that order."""
        same = (run_events.c.run_id == approval_events.c.run_id) & (run_events.c.sequence == approval_events.c.sequence)
        query = select(*run_events.c).join(approval_events, same).where(approval_events.c.approval_id == approval_id)
        return [recorded(row) for row in self._connection.execute(query.order_by(approval_events.c.sequence))]

    def votes(self, approval_id: ApprovalId) -> tuple[Vote, ...]:
        """What people have said of an approval that asks several, in that order."""
        query = select(*_VOTE).where(approval_votes.c.approval_id == approval_id)
        rows = self._connection.execute(query.order_by(approval_votes.c.voted_at, approval_votes.c.voter))
        return tuple(Vote(Principal(row[0]), Decision(row[1]), *row[2:]) for row in rows)

    def add_vote(self, approval: Approval, vote: Vote) -> None:
        """Keeps what somebody has said. Whoever calls holds the lock of its run."""
        of = {"approval_id": approval.approval_id, "run_id": approval.run_id}
        self._connection.execute(insert(approval_votes).values(**of, **asdict(vote)))

    def ids_of_flow(self, flow_id: FlowId) -> tuple[ApprovalId, ...]:
        """Every approval a flow has asked for, in the order it did."""
        query = select(approvals.c.approval_id).join(runs, runs.c.run_id == approvals.c.run_id)
        ordered = query.where(runs.c.flow_id == flow_id).order_by(approvals.c.created_at, approvals.c.approval_id)
        return tuple(row[0] for row in self._connection.execute(ordered))

    def passed_instances(self, flow_id: FlowId) -> set[str]:
        """Every attempt of a flow's runs which a person let go on, in any of the ways that it allows. What went on because
        nobody decided in time is none of them."""
        query = select(approvals.c.instance).join(runs, runs.c.run_id == approvals.c.run_id)
        decided = (approvals.c.state == ApprovalState.DECIDED.value) & (approvals.c.decision != Decision.REJECTED.value)
        decided &= (approvals.c.automatic == 0) & (approvals.c.close_reason == CloseReason.DECIDED.value)
        return set(self._connection.execute(query.where(runs.c.flow_id == flow_id, decided)).scalars())

    def count_open(self, asked_before: int | None = None) -> int:
        """How many approvals wait for a person; or of those that were asked for before a time."""
        query = select(func.count()).select_from(approvals).where(_IS_OPEN)
        if asked_before is not None:
            query = query.where(approvals.c.created_at < asked_before)
        return int(self._connection.execute(query).scalar_one())


_VOTE: Final = [approval_votes.c[field.name] for field in fields(Vote)]


def _halves(wanted: ApprovalFilter, as_of: int) -> Iterator[ColumnElement[bool]]:
    """What was open as of a time: what is open still, and what was closed since; without what nobody wants."""
    if not wanted.states or ApprovalState.OPEN in wanted.states:
        yield _IS_OPEN
    if _may_be_closed(wanted):
        yield approvals.c.closed_at > as_of


def _may_be_closed(wanted: ApprovalFilter) -> bool:
    return not wanted.states or any(state is not ApprovalState.OPEN for state in wanted.states)


def matching(
    wanted: ApprovalFilter, now: int = 0, asked: ColumnElement[str] = approvals.c.assignees
) -> Iterator[ColumnElement[bool]]:
    """What must be true of an approval; `now` says which are overdue, and `asked` whom it is to ask."""
    if wanted.states:
        yield approvals.c.state.in_([state.value for state in wanted.states])
    for column, value in (
        (approvals.c.run_id, wanted.run_id),
        (approvals.c.flow_id, wanted.flow_id),
        (approvals.c.session_id, wanted.session_id),
    ):
        if value is not None:
            yield column == value
    if wanted.is_overdue:
        yield _IS_OPEN & (approvals.c.deadline_at <= now)
    for assignee in wanted.assignees:
        yield _is_among(assignee, asked)
    if wanted.asks_one_of:
        everybody = [approvals.c.assignees == pack(())] if wanted.or_everybody else []
        yield or_(*everybody, *(_is_among(one, asked) for one in wanted.asks_one_of))


def _is_among(assignee: str, asked: ColumnElement[str]) -> ColumnElement[bool]:
    # LIKE takes no notice of case on SQLite, and has a limit of its own.
    return func.replace(asked, json.dumps(assignee), "") != asked


def approval_of(row: Any) -> Approval:
    """The approval in a row of the table's columns."""
    values = dict(zip((column.name for column in approvals.c), row, strict=True))
    values["kind"] = ApprovalKind(values["kind"])
    values["state"] = ApprovalState(values["state"])
    values["decision"] = Decision(values["decision"]) if values["decision"] else None
    values["authenticated"] = bool(values["authenticated"])
    values["allowed"] = tuple(Decision(word) for word in unpack(values["allowed"]))
    values["options"] = unpack(values["options"])
    values["four_eyes"] = tuple(FourEyes(word) for word in unpack(values["four_eyes"]))
    values["on_timeout"] = OnTimeout(values["on_timeout"])
    values["close_reason"] = CloseReason(values["close_reason"])
    values["automatic"] = bool(values["automatic"])
    values["first_assignees"] = unpack(values["first_assignees"])
    values["assignees"] = unpack(values["assignees"])
    del values["ever_asked"]
    return Approval(**values)
