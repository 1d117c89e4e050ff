"""Rows of values that a statement on PostgreSQL is given: as values for one row, as an array for each column for many."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Subquery,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)

from perdure_control_plane.storage.statements import Row
from perdure_control_plane.storage.tables import run_events

EVENT_COLUMNS: Final = tuple(column.name for column in run_events.c if column.name != "run_id")
"""What is given for each event of a run."""


def value_names(prefix: str, names: Iterable[str]) -> list[str]:
    """Names of the values that a statement is given under a prefix."""
    return [f"{prefix}_{name}" for name in names]


def picker(event: Sequence[str]) -> Callable[[Row], Row]:
    """What takes these columns out of a row of the log."""
    return itemgetter(*(run_events.c.keys().index(name) for name in event))


def row_given(name: str, table: Table, columns: Mapping[str, str]) -> Subquery:
    """One row of values; each column has the type of one of the table's."""
    values = [bindparam(f"{name}_{own}", type_=table.c[like].type).label(own) for own, like in columns.items()]
    return select(*values, literal_column("1").label("number")).subquery(name)


def rows_given(name: str, table: Table, columns: Mapping[str, str]) -> TableValuedAlias:
    """Rows of values from arrays, numbered from 1; each column has the type of one of the table's."""
    arrays = [_parameter(f"{name}_{own}", table, like) for own, like in columns.items()]
    typed = [column(own, table.c[like].type) for own, like in columns.items()]
    return func.unnest(*arrays).table_valued(*typed, with_ordinality="number", name=name).render_derived()


def _parameter(name: str, table: Table, like: str) -> ColumnElement[Any]:
    array = ARRAY(table.c[like].type.as_generic())
    return cast(bindparam(name, type_=Text), array) if is_number(table, like) else bindparam(name, type_=array)


def is_number(table: Table, column: str) -> bool:
    """Whether an array of the column's values is told as text: the driver takes each number in hand several times."""
    return isinstance(table.c[column].type, Integer) and not table.c[column].nullable


def array(number: bool, values: Sequence[Any]) -> Any:
    """A column's values as the driver is to have them; `number` is what `is_number` says of it."""
    return f"{{{','.join(map(str, values))}}}" if number else list(values)
