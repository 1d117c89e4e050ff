"""Places of runs among those of one key: columns of `runs`."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, ScalarSelect, func, literal_column, select
from sqlalchemy.engine import Connection

from perdure.runlog.places import Place
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.storage.tables import runs

LOCK: Final = 0x70657264757265
"""Number of the lock under which places are counted and taken; unlike a row's it is there before any run is."""


def held_of(key: ColumnElement[str]) -> ScalarSelect[int]:
    """How many runs of a key have a place."""
    of_key = runs.alias("of_key")
    return (
        select(func.count())
        .select_from(of_key)
        .where(*_of(of_key, Place.HELD), of_key.c.concurrency_key == key)
        .scalar_subquery()
    )


class Places:
    """Counts places."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self) -> None:
        """Waits until nobody else counts or takes places; until the transaction ends nobody does."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(select(func.pg_advisory_xact_lock(LOCK)))

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
        return self._first(key, limit, *_of(runs))

    def _first(self, key: str, limit: int, *which: ColumnElement[bool]) -> list[RunId]:
        query = select(runs.c.run_id).where(*which, runs.c.concurrency_key == key)
        query = query.order_by(runs.c.created_at, runs.c.run_id).limit(limit)
        return [RunId(row[0]) for row in self._connection.execute(query)]


def _of(table: Any, *states: Place) -> list[ColumnElement[bool]]:
    """Which runs; said with the terms of the index of them."""
    place = table.c.place
    terms = [place > literal_column("0"), place < literal_column("3")]
    return terms + [place == literal_column(str(int(state))) for state in states]
