"""Core statements on the driver's own connection.

The engine's way to execute a statement costs more than SQLite needs to run it. A statement that runs for every event,
claim or start is compiled once and given to the driver as it is; all others go through the engine.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol

from sqlalchemy import ClauseElement
from sqlalchemy.engine import Dialect

Row = tuple[Any, ...]


class DriverCursor(Protocol):
    """What is used of a driver's cursor."""

    rowcount: int

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None: ...


class DriverConnection(Protocol):
    """What is used of a driver's connection."""

    def execute(self, sql: str, parameters: Sequence[Any], /) -> DriverCursor: ...
    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> DriverCursor: ...


class LazyConnection(DriverConnection, Protocol):
    """A driver's connection that begins a transaction when it is first needed."""

    def execute_alone(self, sql: str, parameters: Sequence[Any], /) -> DriverCursor: ...


class Prepared:
    """One statement, compiled for a dialect. Its values are texts, integers and bytes, which need no conversion.

    `shared` says that it locks a row that is not one run's alone, which its first value names.
    """

    def __init__(self, statement: ClauseElement, dialect: Dialect, *, shared: bool = False) -> None:
        self.shared = shared
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._order: list[str] = list(getattr(compiled, "positiontup", None) or [])
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def parameters(self, values: Mapping[str, Any]) -> Row:
        """The values in the statement's order; values that the statement has of its own need not be named."""
        return tuple(values[name] if name in values else self._fixed[name] for name in self._order)

    def execute(self, connection: DriverConnection, values: Mapping[str, Any]) -> DriverCursor:
        """Runs it once, with values by name."""
        return connection.execute(self._sql, self.parameters(values))

    def execute_row(self, connection: DriverConnection, row: Row) -> DriverCursor:
        """Runs it once, with values in the statement's own order."""
        return connection.execute(self._sql, row)

    def execute_alone(self, connection: LazyConnection, row: Row) -> DriverCursor:
        """Runs it once, as all that its transaction does; the database is told of no beginning and no end."""
        return connection.execute_alone(self._sql, row)

    def change(self, values: Mapping[str, Any]) -> "Change":
        """It and values by name, to be executed later."""
        return Change(self, self.parameters(values))

    def execute_rows(self, connection: DriverConnection, rows: Iterable[Row]) -> None:
        """Runs it for each row, values in the statement's own order."""
        connection.executemany(self._sql, rows)

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the parameters, in the order that rows must have."""
        return tuple(self._order)


class Change(NamedTuple):
    """A statement that is to be executed, with its values."""

    statement: Prepared
    row: Row


def execute_changes(connection: DriverConnection, changes_of_runs: Sequence[Sequence[Change]]) -> None:
    """Executes what is to change, each run's changes in their order; no run's depend on another's.

    What runs share comes first, in the order of its names: so no two transactions wait for each other. Then the first
    changes of all runs come before the second ones, so that many runs' equal statements are executed at once.
    """
    shared = [change for changes in changes_of_runs for change in changes if change.statement.shared]
    for change in sorted(shared, key=_name):
        change.statement.execute_row(connection, change.row)
    for wave in zip_longest(*changes_of_runs):
        rows_of: dict[Prepared, list[Row]] = {}
        for change in wave:
            if change is not None and not change.statement.shared:
                rows_of.setdefault(change.statement, []).append(change.row)
        for statement, rows in rows_of.items():
            statement.execute_rows(connection, rows)


def _name(change: Change) -> Any:
    return change.row[0]
