"""A new run on PostgreSQL: its row, its place in the queue, its first events, and the flow that it begins with the audit
event of that."""

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
from perdure_control_plane.storage.tables import audit_events, flows, run_events, run_queue, runs


class CreationStatement:
    """Stores a run whole, in one statement."""

    def __init__(self, dialect: Dialect) -> None:
        self.prepared: Final = Prepared(_creation(), dialect)
        self._values = _RunValues()

    def parameters(self, run: RunIdentity, move: Move) -> Row:
        """The values in the statement's order."""
        return self.prepared.parameters(self._values.of(run, move))


class BeginningStatement:
    """Stores a flow, its root run whole, and the audit event of its start, in one statement."""

    def __init__(self, dialect: Dialect) -> None:
        rows = _insert_given("flow", flows).cte("flow"), _insert_given("audited", audit_events).cte("audited")
        self.prepared: Final = Prepared(_creation().add_cte(*rows), dialect)
        self._values = _RunValues()
        self._names = value_names("flow", flows.c.keys()) + value_names("audited", audit_events.c.keys())

    def parameters(self, run: RunIdentity, move: Move, flow: Flow, audited: Row) -> Row:
        """The values in the statement's order."""
        rows = zip(self._names, (*flow_row(flow), *audited), strict=True)
        return self.prepared.parameters({**self._values.of(run, move), **dict(rows)})


class _RunValues:
    """What `_creation` is given."""

    def __init__(self) -> None:
        self._names = value_names("run", RUN_COLUMNS) + value_names("events", EVENT_COLUMNS)
        self._numbers = [is_number(run_events, name) for name in EVENT_COLUMNS]
        self._pick = picker(EVENT_COLUMNS)

    def of(self, run: RunIdentity, move: Move) -> dict[str, Any]:
        """The values of the run's row, and an array for each column of its events."""
        events = map(array, self._numbers, zip(*map(self._pick, move.events), strict=True))
        return dict(zip(self._names, (*identity_row(run), *head_row(move.after), *events), strict=True))


def _creation() -> Select[Any]:
    created = _insert_given("run", runs).returning(*runs.c).cte("created")
    ready = select(*queue_source(created, created.c.created_at)).where(created.c.state == RunState.QUEUED.value)
    queued = insert(run_queue).from_select(run_queue.c.keys(), ready).cte("queued")
    events = rows_given("events", run_events, {name: name for name in EVENT_COLUMNS})
    first = select(created.c.run_id, *(events.c[name] for name in EVENT_COLUMNS)).join(created, true())
    stored = insert(run_events).from_select(["run_id", *EVENT_COLUMNS], first).cte("stored")
    return select(created.c.run_id).add_cte(queued, stored)


def _insert_given(prefix: str, table: Table) -> Insert:
    values = {column.name: bindparam(f"{prefix}_{column.name}", type_=column.type) for column in table.c}
    return insert(table).values(values)
