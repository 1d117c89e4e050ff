"""Approvals, as their readers see them; `projections` writes them."""

from typing import Any

from sqlalchemy import case, func, select, tuple_
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.approval import Approval, ApprovalState, Decision
from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.ids import ApprovalId, FlowId
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.storage.lists import unpack
from perdure_control_plane.storage.tables import approvals, runs


class Approvals:
    """Reads approvals."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, approval_id: ApprovalId) -> Approval:
        """The approval, without its subject. Raises NotFound."""
        row = self._connection.execute(select(*approvals.c).where(approvals.c.approval_id == approval_id)).first()
        if row is None:
            raise NotFound(f"approvals/{approval_id}")
        return _approval(row)

    def page(
        self, wanted: ApprovalFilter, after: tuple[int, int, int, str] | None, limit: int
    ) -> list[tuple[Approval, Any]]:
        """Approvals in their order after a place, each with its own place.

        Open ones come first, by deadline; then the others, the latest closed first. A place begins with the time as of
        which they are open, so that one that is closed while its list is being read keeps its place.
        """
        as_of = after[0] if after is not None else self._last_closed()
        is_open = (approvals.c.state == ApprovalState.OPEN.value) | (approvals.c.closed_at > as_of)
        rank = case((is_open, 0), else_=1)
        key = case((is_open, approvals.c.deadline_at), else_=-approvals.c.closed_at)
        query = select(*approvals.c, rank, key).order_by(rank, key, approvals.c.approval_id).limit(limit)
        if wanted.states:
            query = query.where(approvals.c.state.in_([state.value for state in wanted.states]))
        for column, value in (
            (approvals.c.run_id, wanted.run_id),
            (approvals.c.flow_id, wanted.flow_id),
            (approvals.c.session_id, wanted.session_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if after is not None:
            query = query.where(tuple_(rank, key, approvals.c.approval_id) > tuple_(*after[1:]))
        found = [(_approval(row[:-2]), row[-2:]) for row in self._connection.execute(query)]
        return [(approval, (as_of, *place, approval.approval_id)) for approval, place in found]

    def _last_closed(self) -> int:
        return int(self._connection.execute(select(func.coalesce(func.max(approvals.c.closed_at), 0))).scalar_one())

    def ids_of_flow(self, flow_id: FlowId) -> tuple[ApprovalId, ...]:
        """Every approval a flow has asked for, in the order it did."""
        query = select(approvals.c.approval_id).join(runs, runs.c.run_id == approvals.c.run_id)
        ordered = query.where(runs.c.flow_id == flow_id).order_by(approvals.c.created_at, approvals.c.approval_id)
        return tuple(row[0] for row in self._connection.execute(ordered))

    def approved_instances(self, flow_id: FlowId) -> set[str]:
        """Every attempt of a flow's runs for which a person approved what it asked."""
        query = select(approvals.c.instance).join(runs, runs.c.run_id == approvals.c.run_id)
        decided = (approvals.c.state == ApprovalState.DECIDED.value) & (approvals.c.decision == Decision.APPROVED.value)
        return set(self._connection.execute(query.where(runs.c.flow_id == flow_id, decided)).scalars())

    def count_open(self) -> int:
        """How many approvals wait for a person."""
        query = select(func.count()).select_from(approvals).where(approvals.c.state == ApprovalState.OPEN.value)
        return int(self._connection.execute(query).scalar_one())


def _approval(row: Any) -> Approval:
    values = dict(zip((column.name for column in approvals.c), row, strict=True))
    values["state"] = ApprovalState(values["state"])
    values["decision"] = Decision(values["decision"]) if values["decision"] else None
    values["authenticated"] = bool(values["authenticated"])
    values["allowed"] = tuple(Decision(word) for word in unpack(values["allowed"]))
    values["audience"] = unpack(values["audience"])
    return Approval(**values)
