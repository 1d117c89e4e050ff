"""Request ids that were used, so that a repetition is told from a new request."""

from typing import Final

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.request import UsedRequest
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import requests


class RequestStatements:
    """Statements over `requests`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        wanted = {name: requests.c[name] == bindparam(name) for name in ("principal", "request_id")}
        used = select(requests.c.method, requests.c.digest, requests.c.resource)
        self.find: Final = Prepared(used.where(*wanted.values()), dialect)
        self.add: Final = Prepared(insert(requests), dialect)


class Requests:
    """Keeps request ids."""

    def __init__(
        self, connection: Connection, driver: DriverConnection, statements: RequestStatements, now: int
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements
        self._now = now

    def find(self, principal: Principal, request_id: str) -> UsedRequest | None:
        """What the principal used the id for, or None."""
        row = self._statements.find.execute_row(self._driver, (principal, request_id)).fetchone()
        return None if row is None else UsedRequest(*row)

    def add(self, principal: Principal, request_id: str, used: UsedRequest) -> None:
        """Notes what an id was used for."""
        row = {
            "principal": principal,
            "request_id": request_id,
            "method": used.method,
            "digest": used.digest,
            "resource": used.resource,
            "recorded_at": self._now,
        }
        self._statements.add.execute(self._driver, row)

    def forget(self, before: int) -> None:
        """Drops ids used before a time."""
        self._connection.execute(delete(requests).where(requests.c.recorded_at < before))
