"""Keys by which callers say who they are: `api_keys`."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import case, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.api_key import ApiKey
from perdure_control_plane.domain.credential import KeyCounts
from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.storage.tables import api_keys


class ApiKeys:
    """Keeps keys: what is known of them, never their texts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, key: ApiKey) -> None:
        """Stores a new key; that no other of its name is good is up to the table."""
        self._connection.execute(insert(api_keys).values(_row(key)))

    def save(self, key: ApiKey) -> None:
        """Stores what has changed of a key."""
        self._connection.execute(update(api_keys).where(api_keys.c.key_id == key.key_id).values(_row(key)))

    def find(self, key_id: str) -> ApiKey | None:
        """The key with an id, or None."""
        row = self._connection.execute(select(*api_keys.c).where(api_keys.c.key_id == key_id)).mappings().first()
        return None if row is None else _key(row)

    def find_live(self, key_name: str) -> ApiKey | None:
        """The key of a name that is not revoked, or None."""
        query = select(*api_keys.c).where(api_keys.c.key_name == key_name, api_keys.c.revoked_at == 0)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else _key(row)

    def get(self, key_name: str) -> ApiKey:
        """The key of a name that is not revoked, else the one that was made last. Raises NotFound."""
        query = select(*api_keys.c).where(api_keys.c.key_name == key_name)
        query = query.order_by(api_keys.c.revoked_at != 0, api_keys.c.created_at.desc(), api_keys.c.key_id.desc())
        row = self._connection.execute(query.limit(1)).mappings().first()
        if row is None:
            raise NotFound(f"keys/{key_name}")
        return _key(row)

    def page(self, after: tuple[str, int, str], limit: int, *, revoked: bool) -> list[ApiKey]:
        """Keys by name, time of making and id, after a (name, time, id); with those that are revoked, or without."""
        name, made, key_id = api_keys.c.key_name, api_keys.c.created_at, api_keys.c.key_id
        same = name == after[0]
        later = or_(name > after[0], same & (made > after[1]), same & (made == after[1]) & (key_id > after[2]))
        query = select(*api_keys.c).where(later).order_by(name, made, key_id).limit(limit)
        if not revoked:
            query = query.where(api_keys.c.revoked_at == 0)
        return [_key(row) for row in self._connection.execute(query).mappings()]

    def counts(self, now: int) -> KeyCounts:
        """How many keys there are at a time, and of what age."""
        revoked, expires_at = api_keys.c.revoked_at > 0, api_keys.c.expires_at
        expired = (api_keys.c.revoked_at == 0) & (expires_at > 0) & (expires_at <= now)
        live = (api_keys.c.revoked_at == 0) & or_(expires_at == 0, expires_at > now)
        made_at = case((api_keys.c.rotated_at > 0, api_keys.c.rotated_at), else_=api_keys.c.created_at)
        columns = [
            *(func.count(case((which, 1))) for which in (live, expired, revoked)),
            func.min(case((live, made_at))),
            func.min(case((live & (expires_at > 0), expires_at))),
        ]
        return KeyCounts(*(int(value or 0) for value in self._connection.execute(select(*columns)).one()))

    def any_live(self, now: int) -> bool:
        """Whether any key is good at a time."""
        unexpired = or_(api_keys.c.expires_at == 0, api_keys.c.expires_at > now)
        query = select(api_keys.c.key_id).where(api_keys.c.revoked_at == 0, unexpired).limit(1)
        return self._connection.execute(query).first() is not None


def _row(key: ApiKey) -> dict[str, Any]:
    return {**asdict(key), "role": key.role.value}


def _key(row: Any) -> ApiKey:
    return ApiKey(**{**row, "role": Role(row["role"])})
