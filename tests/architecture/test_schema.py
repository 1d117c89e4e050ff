"""A database that was migrated has the schema that `tables.py` declares, down to its checks."""

import pathlib
import re
from collections.abc import Callable, Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Column, Connection, Index, MetaData, Text, create_engine

from perdure_control_plane.storage.migrate import migrate
from perdure_control_plane.storage.tables import metadata

BOOKKEEPING = "alembic_version"
INCOMPARABLE = {"ix_run_queue_order": "it is on an expression, which reflection does not give back"}
"""Indexes that autogeneration cannot compare; how the database keeps them is compared below."""
Statements = dict[str, set[str]]


@pytest.fixture
def connect(tmp_path: pathlib.Path) -> Iterator[Callable[[str], Connection]]:
    """Opens databases of their own."""
    opened: list[Connection] = []

    def open_database(name: str) -> Connection:
        engine = create_engine(f"sqlite:///{tmp_path / name}.db", isolation_level="AUTOCOMMIT")
        opened.append(engine.connect())
        return opened[-1]

    yield open_database
    for connection in opened:
        connection.close()
        connection.engine.dispose()


@pytest.fixture
def migrated(connect: Callable[[str], Connection]) -> Connection:
    """A database that every migration was applied to."""
    connection = connect("migrated")
    migrate(connection.engine)
    return connection


def declared() -> MetaData:
    """A copy of the tables, to be changed by a test."""
    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(copy)
    return copy


def differences(connection: Connection, wanted: MetaData) -> list[object]:
    """What autogeneration would put into a new migration."""
    options = {"compare_type": True, "compare_server_default": True, "include_object": _is_ours}
    return compare_metadata(MigrationContext.configure(connection, opts=options), wanted)


def _is_ours(item: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
    return not (name == BOOKKEEPING or (kind == "index" and name in INCOMPARABLE))


def statements(connection: Connection) -> Statements:
    """The parts of each table and index as the database keeps them: columns, keys, checks and options, in any order."""
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    return {name: parts(sql) for name, sql in rows if name != BOOKKEEPING}


def parts(sql: str) -> set[str]:
    lines = (re.sub(r"\s+", " ", line).strip(" ,") for line in sql.replace('"', "").splitlines())
    return {line for line in lines if line}


def test_a_migration_generated_now_would_be_empty(migrated: Connection) -> None:
    assert differences(migrated, metadata) == []


def test_checks_strictness_and_indexes_are_those_that_are_declared(
    migrated: Connection, connect: Callable[[str], Connection]
) -> None:
    created = connect("created")
    metadata.create_all(created)

    found, wanted = statements(migrated), statements(created)

    assert found == wanted
    assert set(INCOMPARABLE) <= set(found)


def test_every_table_is_strict_and_every_set_of_words_is_checked(migrated: Connection) -> None:
    tables = {name: kept for name, kept in statements(migrated).items() if name in metadata.tables}

    assert set(tables) == set(metadata.tables)
    assert [name for name, kept in tables.items() if not any("STRICT" in line for line in kept)] == []
    assert any(line.startswith("CONSTRAINT ck_runs_state CHECK") for line in tables["runs"])


def test_a_column_that_no_migration_makes_is_found(migrated: Connection) -> None:
    wanted = declared()
    wanted.tables["runs"].append_column(Column("mood", Text))

    assert [change[0] for change in differences(migrated, wanted)] == ["add_column"]


def test_an_index_that_no_migration_makes_is_found(migrated: Connection) -> None:
    wanted = declared()
    Index("ix_tasks_command", wanted.tables["tasks"].c.command)

    assert [change[0] for change in differences(migrated, wanted)] == ["add_index"]


def test_a_check_that_no_migration_makes_is_found(migrated: Connection, connect: Callable[[str], Connection]) -> None:
    wanted, created = declared(), connect("created")
    wanted.tables["runs"].append_constraint(CheckConstraint("term > 0", name="term"))
    wanted.create_all(created)

    assert statements(created)["runs"] - statements(migrated)["runs"] == {"CONSTRAINT ck_runs_term CHECK (term > 0)"}


def test_a_table_that_is_strict_in_one_place_only_is_found(
    migrated: Connection, connect: Callable[[str], Connection]
) -> None:
    wanted, created = declared(), connect("created")
    wanted.tables["plans"].dialect_options["sqlite"]["strict"] = False
    wanted.create_all(created)

    assert statements(created)["plans"] != statements(migrated)["plans"]
