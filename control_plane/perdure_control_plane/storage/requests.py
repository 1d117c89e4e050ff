"""Request ids that were used, so that a repetition is told from a new request."""

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.request import UsedRequest
from perdure_control_plane.storage.tables import requests


class Requests:
    """Keeps request ids."""

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now

    def find(self, principal: Principal, request_id: str) -> UsedRequest | None:
        """What the principal used the id for, or None."""
        wanted = (requests.c.principal == principal) & (requests.c.request_id == request_id)
        query = select(requests.c.method, requests.c.digest, requests.c.resource).where(wanted)
        row = self._connection.execute(query).first()
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
        self._connection.execute(insert(requests).values(row))

    def forget(self, before: int) -> None:
        """Drops ids used before a time."""
        self._connection.execute(delete(requests).where(requests.c.recorded_at < before))
