"""A new run on PostgreSQL: its row, its place in the queue, its first events, and the flow that it begins."""

from typing import Any, Final

from sqlalchemy import Insert, Select, Table, bindparam, insert, select, true
from sqlalchemy.engine import Dialect

from perdure.runlog.states import RunState
from perdure_control_plane.domain.flow import Flow
from perdure_control_plane.domain.run import RunIdentity
from perdure_control_plane.storage.flows import flow_row
from perdure_control_plane.storage.log_rows import Move
from perdure_control_plane.storage.postgres_given import (
    EVENT_COLUMNS,
    array,
    is_number,
    picker,
    rows_given,
    value_names,
)
from perdure_control_plane.storage.run_rows import RUN_COLUMNS, head_row, identity_row
from perdure_control_plane.storage.runs import queue_source
from perdure_control_plane.storage.statements import Prepared, Row
from perdure_control_plane.storage.tables import flows, run_events, run_queue, runs


class CreationStatement:
    """Stores a run whole, in one statement."""

    def __init__(self, dialect: Dialect, *, with_flow: bool) -> None:
        self.prepared: Final = Prepared(_creation(with_flow=with_flow), dialect)
        self._names = value_names("run", RUN_COLUMNS) + value_names("events", EVENT_COLUMNS)
        self._flow_names = value_names("flow", flows.c.keys())
        self._numbers = [is_number(run_events, name) for name in EVENT_COLUMNS]
        self._pick = picker(EVENT_COLUMNS)

    def parameters(self, run: RunIdentity, move: Move, flow: Flow | None) -> Row:
        """The values of both rows, and an array for each column of the events, in the statement's order."""
        events = map(array, self._numbers, zip(*map(self._pick, move.events), strict=True))
        row = (*identity_row(run), *head_row(move.after), *events)
        values: dict[str, Any] = dict(zip(self._names, row, strict=True))
        if flow is not None:
            values |= zip(self._flow_names, flow_row(flow), strict=True)
        return self.prepared.parameters(values)


def _creation(*, with_flow: bool) -> Select[Any]:
    created = _insert_given("run", runs).returning(*runs.c).cte("created")
    ready = select(*queue_source(created, created.c.created_at)).where(created.c.state == RunState.QUEUED.value)
    queued = insert(run_queue).from_select(run_queue.c.keys(), ready).cte("queued")
    events = rows_given("events", run_events, {name: name for name in EVENT_COLUMNS})
    first = select(created.c.run_id, *(events.c[name] for name in EVENT_COLUMNS)).join(created, true())
    stored = insert(run_events).from_select(["run_id", *EVENT_COLUMNS], first).cte("stored")
    flow = [_insert_given("flow", flows).cte("flow")] if with_flow else []
    return select(created.c.run_id).add_cte(queued, stored, *flow)


def _insert_given(prefix: str, table: Table) -> Insert:
    values = {column.name: bindparam(f"{prefix}_{column.name}", type_=column.type) for column in table.c}
    return insert(table).values(values)
