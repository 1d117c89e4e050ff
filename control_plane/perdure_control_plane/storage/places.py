"""Places of runs among those of one key: columns of `runs`."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, literal_column, select
from sqlalchemy.engine import Connection

from perdure.runlog.places import Place
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.statements import DriverConnection
from perdure_control_plane.storage.tables import runs

LOCK: Final = 0x70657264757265
"""Number of the lock under which what limits count is counted and handed out. Unlike a row it is always there."""


def wants_a_place_in_vain(of: Any) -> ColumnElement[bool]:
    """Whether a ready run wants a place of its key, and as many runs as its limit have one."""
    of_key = runs.alias("of_key")
    held = select(func.count()).select_from(of_key)
    held = held.where(*_of(of_key, Place.HELD), of_key.c.concurrency_key == of.c.concurrency_key)
    return and_(of.c.concurrency_key != literal_column("''"), held.scalar_subquery() >= of.c.concurrency_limit)


class Places:
    """Counts places."""

    def __init__(self, connection: Connection, driver: DriverConnection) -> None:
        self._connection = connection
        self._driver = driver

    def lock(self) -> None:
        """Waits until nobody else hands out what a limit counts; until the transaction ends nobody does."""
        if self._connection.dialect.name == "postgresql":
            self._driver.execute("SELECT pg_advisory_xact_lock($1)", (LOCK,))

    def held(self, keys: Sequence[str]) -> dict[str, int]:
        """How many runs of each key have a place."""
        counts = (
            select(runs.c.concurrency_key, func.count())
            .where(*_of(runs, Place.HELD), runs.c.concurrency_key.in_(keys))
            .group_by(runs.c.concurrency_key)
        )
        found = {row[0]: int(row[1]) for row in self._connection.execute(counts)}
        return {key: found.get(key, 0) for key in keys}

    def holders(self, key: str, limit: int) -> list[RunId]:
        """Runs that have a place of the key, the first created first."""
        return self._first(key, limit, *_of(runs, Place.HELD))

    def of_key(self, key: str, limit: int) -> list[RunId]:
        """Runs that have a place of the key or want one, the first created first."""
        return self._first(key, limit, *_of(runs, Place.WANTED, Place.HELD))

    def _first(self, key: str, limit: int, *which: ColumnElement[bool]) -> list[RunId]:
        query = select(runs.c.run_id).where(*which, runs.c.concurrency_key == key)
        query = query.order_by(runs.c.created_at, runs.c.run_id).limit(limit)
        return [RunId(row[0]) for row in self._connection.execute(query)]


def _of(table: Any, *states: Place) -> list[ColumnElement[bool]]:
    """Which runs. The first term is that of the index of them."""
    return [table.c.concurrency_key != literal_column("''"), table.c.place.in_([_number(state) for state in states])]


def _number(place: Place) -> ColumnElement[int]:
    return literal_column(str(int(place)))
