"""Audit events: `audit_events`. Each is written in the transaction of what it records."""

import json
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection, Dialect

from perdure.audit.chain import SealedEvent
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.ids import new_id
from perdure_control_plane.domain.queries import AuditFilter
from perdure_control_plane.storage.audit_chain import COLUMNS, sealed_from
from perdure_control_plane.storage.statements import DriverConnection, Prepared, Row
from perdure_control_plane.storage.tables import audit_events


class AuditStatements:
    """Statements over `audit_events`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.add: Final = Prepared(insert(audit_events), dialect)


class Audit:
    """Keeps audit events."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: AuditStatements, now: int) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements
        self._now = now

    def record(self, act: Act) -> None:
        """Writes an act down, in this transaction: neither is there without the other."""
        self._statements.add.execute_row(self._driver, audit_row(act, self._now))

    def page(self, wanted: AuditFilter, before: tuple[int, str] | None, limit: int) -> list[SealedEvent]:
        """Events, the latest first, that come before a (time, id)."""
        recorded_at, event_id = audit_events.c.recorded_at, audit_events.c.event_id
        query = select(*COLUMNS).order_by(recorded_at.desc(), event_id.desc()).limit(limit)
        if wanted.types:
            query = query.where(audit_events.c.type.in_([kind.value for kind in wanted.types]))
        if wanted.principal:
            query = query.where(audit_events.c.principal == wanted.principal)
        if wanted.resource:
            query = query.where(audit_events.c.resource == wanted.resource)
        if wanted.start_at is not None:
            query = query.where(recorded_at >= wanted.start_at)
        if wanted.end_at is not None:
            query = query.where(recorded_at < wanted.end_at)
        if before is not None:
            at, last_id = before
            query = query.where((recorded_at < at) | ((recorded_at == at) & (event_id < last_id)))
        return [sealed_from(row) for row in self._connection.execute(query)]


def audit_row(act: Act, now: int) -> Row:
    """An event of an act, in the order of the table's columns. It has no place in the chain yet."""
    caller = act.caller
    return (
        new_id(),
        now,
        act.type.value,
        caller.principal,
        int(caller.authenticated),
        caller.peer,
        caller.method,
        act.resource,
        act.outcome.value,
        act.reason,
        act.request_id,
        json.dumps(act.details, sort_keys=True),
        0,
        b"",
        b"",
    )
