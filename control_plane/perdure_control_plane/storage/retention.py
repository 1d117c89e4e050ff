"""Flows that ended long ago: which they are, and how all that is theirs is deleted."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, exists, func, or_, select
from sqlalchemy.engine import Connection

from perdure.runlog.states import RunState
from perdure_control_plane.domain.flow import Flow
from perdure_control_plane.domain.ids import FlowId
from perdure_control_plane.domain.retention import Outlook, Unpurged
from perdure_control_plane.domain.run import Run
from perdure_control_plane.storage.deletions import RUNS, Deletion, Deletions
from perdure_control_plane.storage.payloads import Payloads
from perdure_control_plane.storage.tables import (
    agents,
    approvals,
    flows,
    metadata,
    requests,
    run_events,
    run_messages,
    runs,
    sessions,
)

OF_RUNS: Final = tuple(table for table in metadata.sorted_tables if "run_id" in table.c and table is not run_events)
"""Tables whose rows go with their run; its events, which may be many, follow bit by bit."""


class Retention:
    """Finds and deletes flows."""

    def __init__(self, connection: Connection, payloads: Payloads) -> None:
        self._connection = connection
        self._payloads = payloads
        self._deletions = Deletions(connection)

    def due(self, ended_before: int, limit: int) -> list[FlowId]:
        """Flows whose every run has ended before a time and left nothing in doubt, the first created first."""
        query = select(flows.c.flow_id).where(_is_due(ended_before)).order_by(flows.c.created_at, flows.c.flow_id)
        return [FlowId(row[0]) for row in self._connection.execute(query.limit(limit))]

    def outlook(self, ended_before: int) -> Outlook:
        """What would be deleted."""
        due = select(flows.c.flow_id).where(_is_due(ended_before))
        of_due = runs.c.flow_id.in_(due)
        ended = (func.min(runs.c.ended_at), func.max(runs.c.ended_at))
        counted = select(func.count(), func.coalesce(func.sum(runs.c.last_sequence), 0), *ended).where(of_due)
        run_count, events, oldest, newest = self._connection.execute(counted).one()
        size = select(func.coalesce(func.sum(func.length(run_events.c.event)), 0)).join(
            runs, runs.c.run_id == run_events.c.run_id
        )
        size_of_events = self._connection.execute(size.where(of_due)).scalar_one()
        count = self._connection.execute(select(func.count()).select_from(due.subquery())).scalar_one()
        return Outlook(count, run_count, int(events), int(size_of_events), oldest or 0, newest or 0)

    def delete(self, flow: Flow, of_flow: Sequence[Run], at: int) -> None:
        """Deletes a flow with all of its runs, and everything that names them; their events are to be purged yet."""
        ids = [run.run_id for run in of_flow]
        self._forget_requests(flow, ids)
        for table in OF_RUNS:
            self._connection.execute(delete(table).where(table.c.run_id.in_(ids)))
        self._connection.execute(delete(run_messages).where(run_messages.c.target.in_(ids)))
        of_children = [run.identity.session_id for run in of_flow if run.identity.parent_run_id is not None]
        for table in (agents, sessions):  # a child's session is of its run alone
            self._connection.execute(delete(table).where(table.c.session_id.in_(of_children)))
        self._connection.execute(delete(flows).where(flows.c.flow_id == flow.flow_id))
        last = max(run.head.ended_at for run in of_flow)
        gone = [Deletion(run.name, run.head.ended_at, run.head.last_sequence) for run in of_flow]
        self._deletions.add([*gone, Deletion(flow.name, last, 0)], at)

    def _forget_requests(self, flow: Flow, run_ids: Sequence[str]) -> None:
        asked = select(approvals.c.approval_id).where(approvals.c.run_id.in_(run_ids))
        names = [flow.name, *(f"{RUNS}{run_id}" for run_id in run_ids)]
        names += [f"approvals/{row[0]}" for row in self._connection.execute(asked)]
        self._connection.execute(delete(requests).where(requests.c.resource.in_(names)))

    def purge(self, max_events: int, max_bytes: int) -> int:
        """Deletes some events of a run that was deleted, and returns how many; 0 where none is left."""
        return self._deletions.purge(max_events, max_bytes)

    def unpurged(self) -> Unpurged:
        """What is left of deleted runs."""
        return self._deletions.unpurged()

    def unreachable(self, limit: int) -> list[bytes]:
        """Digests of payloads that no event of a run that is there names."""
        return self._payloads.unreachable(limit)

    def collect(self, digests: Sequence[bytes]) -> int:
        """Deletes those of these payloads that are unreachable still, and returns how many."""
        return self._payloads.collect(digests)

    def forget(self, before: int) -> None:
        """Drops what is known of deletions before a time."""
        self._deletions.forget(before)


def _is_due(ended_before: int) -> ColumnElement[bool]:
    of_flow: Any = runs.c.flow_id == flows.c.flow_id
    stays = or_(
        runs.c.ended_sequence == 0,
        runs.c.ended_at >= ended_before,
        runs.c.in_doubt > 0,
        runs.c.state == RunState.MOVED.value,
    )
    return (flows.c.created_at < ended_before) & exists().where(of_flow) & ~exists().where(of_flow, stays)
