"""Flows: what of a start never changes."""

import json
from typing import Any, Final

from sqlalchemy import bindparam, insert, select
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.flow import Flow, RequestSource
from perdure_control_plane.domain.ids import FlowId, Principal
from perdure_control_plane.domain.queries import FlowFilter
from perdure_control_plane.storage.deletions import missing
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import flows


class FlowStatements:
    """Statements over `flows`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.insert: Final = Prepared(insert(flows), dialect)
        started = (flows.c.principal == bindparam("principal")) & (flows.c.idempotency_key == bindparam("key"))
        self.of_key: Final = Prepared(select(*flows.c).where(started), dialect)
        self.get: Final = Prepared(select(*flows.c).where(flows.c.flow_id == bindparam("flow_id")), dialect)


class Flows:
    """Keeps flows."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: FlowStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def add(self, flow: Flow) -> None:
        """Stores a flow."""
        values = {
            "flow_id": flow.flow_id,
            "principal": flow.principal,
            "idempotency_key": flow.idempotency_key,
            "playbook_id": flow.playbook_id,
            "version": flow.version,
            "digest": flow.digest,
            "session_id": flow.session_id,
            "root_run_id": flow.root_run_id,
            "request_digest": flow.request_digest,
            "metadata": json.dumps(flow.metadata),
            "source_plugin": flow.source.source_plugin,
            "source_kind": flow.source.source_kind,
            "actor_id": flow.source.actor_id,
            "created_at": flow.created_at,
        }
        self._statements.insert.execute(self._driver, values)

    def find(self, flow_id: FlowId) -> Flow | None:
        """The flow, or None."""
        row = self._statements.get.execute_row(self._driver, (flow_id,)).fetchone()
        return None if row is None else _flow(row)

    def get(self, flow_id: FlowId) -> Flow:
        """The flow. Raises NotFound, Deleted."""
        flow = self.find(flow_id)
        if flow is None:
            raise missing(self._connection, f"flows/{flow_id}")
        return flow

    def of_key(self, principal: Principal, idempotency_key: str) -> Flow | None:
        """The flow that a principal began with a key, or None."""
        row = self._statements.of_key.execute_row(self._driver, (principal, idempotency_key)).fetchone()
        return None if row is None else _flow(row)

    def page(self, wanted: FlowFilter, before: tuple[int, str] | None, limit: int) -> list[Flow]:
        """Flows, the latest first, that come before a (creation, id)."""
        query = select(*flows.c).order_by(flows.c.created_at.desc(), flows.c.flow_id.desc()).limit(limit)
        if wanted.session_id is not None:
            query = query.where(flows.c.session_id == wanted.session_id)
        if wanted.playbook_id is not None:
            query = query.where(flows.c.playbook_id == wanted.playbook_id)
        if before is not None:
            created_at, flow_id = before
            earlier = (flows.c.created_at == created_at) & (flows.c.flow_id < flow_id)
            query = query.where((flows.c.created_at < created_at) | earlier)
        return [_flow(row) for row in self._connection.execute(query)]


def _flow(row: Any) -> Flow:
    values = dict(zip((column.name for column in flows.c), row, strict=True))
    source = RequestSource(values.pop("source_plugin"), values.pop("source_kind"), values.pop("actor_id"))
    values["metadata"] = json.loads(values["metadata"])
    return Flow(**values, source=source)
