"""Audit events: `audit_events`. Each is written in the transaction of what it records."""

import json
from typing import Final

from sqlalchemy import insert
from sqlalchemy.engine import Dialect

from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.ids import new_id
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import audit_events


class AuditStatements:
    """Statements over `audit_events`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.add: Final = Prepared(insert(audit_events), dialect)


class Audit:
    """Keeps audit events."""

    def __init__(self, driver: DriverConnection, statements: AuditStatements, now: int) -> None:
        self._driver = driver
        self._statements = statements
        self._now = now

    def record(self, act: Act) -> None:
        """Writes an act down, in this transaction: neither is there without the other."""
        caller = act.caller
        row = {
            "event_id": new_id(),
            "recorded_at": self._now,
            "type": act.type.value,
            "principal": caller.principal,
            "authenticated": int(caller.authenticated),
            "peer": caller.peer,
            "method": caller.method,
            "resource": act.resource,
            "outcome": act.outcome.value,
            "reason": act.reason,
            "request_id": act.request_id,
            "details": json.dumps(act.details, sort_keys=True),
        }
        self._statements.add.execute(self._driver, row)
