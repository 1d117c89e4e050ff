"""Flows: what of a start never changes."""

import json
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Select, bindparam, insert, literal_column, select
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.flow import Flow, Ground, RequestSource
from perdure_control_plane.domain.ids import FlowId, PlaybookId, Principal, SessionId
from perdure_control_plane.domain.policy import Policy
from perdure_control_plane.domain.queries import FlowFilter
from perdure_control_plane.domain.session import Session
from perdure_control_plane.storage.deletions import missing
from perdure_control_plane.storage.playbooks import RELEASE_COLUMNS, release_from
from perdure_control_plane.storage.policies import POLICY_COLUMNS, policy_from
from perdure_control_plane.storage.statements import LazyConnection, Prepared, Row
from perdure_control_plane.storage.tables import flows, playbook_versions, policies, sessions

_COLUMNS: Final = tuple(flows.c.keys())
_OF_SOURCE: Final = tuple(field.name for field in fields(RequestSource))
_VERSION: Final = len(_COLUMNS)
_SESSION: Final = _VERSION + len(RELEASE_COLUMNS)
_POLICY: Final = _SESSION + len(sessions.c)
"""Where version and session begin in the row of what a start rests on."""


class FlowStatements:
    """Statements over `flows`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.insert: Final = Prepared(insert(flows), dialect)
        ground = Prepared(_ground(), dialect)
        self.read_ground: Final = ground.execute_row if dialect.name == "sqlite" else ground.execute_alone
        self.get: Final = Prepared(select(*flows.c).where(flows.c.flow_id == bindparam("flow_id")), dialect)


def _ground() -> Select[Any]:
    """One row: the flow of a key, the version, and the session, each where there is one."""
    of_key = (flows.c.principal == bindparam("principal")) & (flows.c.idempotency_key == bindparam("key"))
    versions = playbook_versions.c
    wanted = (versions.playbook_id == bindparam("playbook_id")) & (versions.version == bindparam("version"))
    one = select(literal_column("1").label("one")).subquery("one")
    found = one.outerjoin(flows, of_key).outerjoin(playbook_versions, wanted)
    found = found.outerjoin(sessions, sessions.c.session_id == bindparam("session_id"))
    found = found.outerjoin(policies, policies.c.id == literal_column("1"))
    return select(*flows.c, *RELEASE_COLUMNS, *sessions.c, *POLICY_COLUMNS).select_from(found)


class Flows:
    """Keeps flows."""

    def __init__(self, connection: Connection, driver: LazyConnection, statements: FlowStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

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

    def ground(self, principal: Principal, key: str, release: tuple[PlaybookId, str], session_id: SessionId) -> Ground:
        """What a principal finds who starts a version in a session under an idempotency key.

        It is read at one moment, and another may be first all the same: then the flow cannot be stored.
        """
        row = self._statements.read_ground(self._driver, (principal, key, *release, session_id)).fetchone()
        begun, version = row[:_VERSION], row[_VERSION:_SESSION]
        session, policy = row[_SESSION:_POLICY], row[_POLICY:]
        return Ground(
            begun=None if begun[0] is None else _flow(begun),
            release=None if version[0] is None else release_from(version),
            session=None if session[0] is None else Session(*session),
            policy=Policy() if policy[0] is None else policy_from(policy),
        )

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


def flow_row(flow: Flow) -> Row:
    """The flow's values in the order of the table's columns."""
    values = {name: getattr(flow.source if name in _OF_SOURCE else flow, name) for name in _COLUMNS}
    return tuple((values | {"metadata": json.dumps(flow.metadata)}).values())


def _flow(row: Any) -> Flow:
    values = dict(zip(_COLUMNS, row, strict=True))
    source = RequestSource(**{name: values.pop(name) for name in _OF_SOURCE})
    values["metadata"] = json.loads(values["metadata"])
    return Flow(**values, source=source)
