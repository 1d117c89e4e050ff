"""How SQLite finds rows: nothing that is done for one run may cost more where there are many others."""

import pathlib
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.dialects.sqlite import dialect

from perdure_control_plane.domain.approval import ApprovalState
from perdure_control_plane.domain.ids import FlowId, RunId, SessionId
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.storage.approvals import Approvals
from perdure_control_plane.storage.migrate import migrate
from perdure_control_plane.storage.statements import Prepared
from perdure_control_plane.storage.unit_of_work import Statements


@pytest.fixture
def database(tmp_path: pathlib.Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'empty.db'}", isolation_level="AUTOCOMMIT")
    migrate(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def prepared() -> dict[str, str]:
    """Every statement of one group that finds rows by their run, by its name."""
    statements = Statements(dialect())
    groups = [group for group in vars(statements).values() if type(group).__name__.endswith("Statements")]
    found = {
        f"{type(group).__name__}.{name}": " ".join(str(statement._sql).split())
        for group in groups
        for name, statement in vars(group).items()
        if isinstance(statement, Prepared)
    }
    return {name: sql for name, sql in found.items() if "run_id = ?" in sql and sql.startswith(("UPDATE", "DELETE"))}


def plan(database: Connection, sql: str, values: int) -> list[str]:
    return [row[3] for row in database.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (None,) * values)]


@pytest.mark.parametrize("name", prepared())
def test_what_changes_for_a_run_is_found_by_the_run(database: Connection, name: str) -> None:
    sql = prepared()[name]

    found = plan(database, sql, sql.count("?"))

    assert any("run_id=?" in step or "lease_id=?" in step for step in found), found


def pages(database: Connection, wanted: ApprovalFilter, after: tuple[int, int, int, str] | None) -> list[list[str]]:
    """The plan of each reading of a page."""
    driver = database.connection.driver_connection
    assert driver is not None
    asked: list[str] = []
    driver.set_trace_callback(asked.append)
    Approvals(database, driver, Statements(dialect()).approvals).page(wanted, after, 10)
    driver.set_trace_callback(None)
    return [plan(database, sql, 0) for sql in asked if sql.startswith("SELECT")]


@pytest.mark.parametrize("states", [(), (ApprovalState.OPEN,), (ApprovalState.DECIDED,)])
@pytest.mark.parametrize("after", [None, (5, 0, 7, "a"), (5, 1, -3, "a")])
def test_a_page_of_approvals_is_read_in_the_order_of_indexes(
    database: Connection, states: tuple[ApprovalState, ...], after: tuple[int, int, int, str] | None
) -> None:
    for steps in pages(database, ApprovalFilter(states=states), after):
        if "ix_approvals_open" in steps[0]:
            assert len(steps) == 1, "what is open is sorted, however much it is"
        else:
            assert "ix_approvals_closed_at" in steps[0]
            assert "USE TEMP B-TREE FOR ORDER BY" not in steps or "closed_at>?)" in steps[0], steps


@pytest.mark.parametrize(
    ("state", "parts"),
    [
        (ApprovalState.OPEN, ["ix_approvals_open"]),
        (ApprovalState.DECIDED, ["ix_approvals_closed_at", "ix_approvals_closed_at"]),
    ],
)
def test_approvals_of_a_state_are_not_looked_for_among_the_others(
    database: Connection, state: ApprovalState, parts: list[str]
) -> None:
    _, *found = pages(database, ApprovalFilter(states=(state,)), None)

    assert [part in steps[0] for part, steps in zip(parts, found, strict=True)] == [True] * len(parts)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (ApprovalFilter(session_id=SessionId("s")), "ix_approvals_session_id"),
        (ApprovalFilter(flow_id=FlowId("f")), "ix_approvals_flow_id"),
        (ApprovalFilter(run_id=RunId("r")), "ix_approvals_run_id_instance"),
    ],
)
def test_approvals_of_a_run_a_flow_or_a_session_are_found_by_it(
    database: Connection, wanted: ApprovalFilter, index: str
) -> None:
    last_closed, *parts = pages(database, wanted, None)

    assert "ix_approvals_closed_at" in last_closed[0]
    assert len(parts) == 3
    for steps in parts:
        assert index in steps[0]
