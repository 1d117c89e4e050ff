"""All SQL is in storage, and none of it is put together from text at run time."""

import ast
import re
from typing import Any

import pytest

STATEMENT_MAKERS = frozenset({"select", "insert", "update", "delete", "text"})
STORAGE = "perdure_control_plane.storage"

SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|SELECT\s+(\d|COUNT)|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s"
    r"|WITH\s+\w+\s+AS\s*\(|(CREATE|DROP|ALTER)\s+(TABLE|(UNIQUE\s+)?INDEX)\s|PRAGMA\s)",
    re.IGNORECASE | re.DOTALL,
)
"""How a statement begins."""

BUILT = {
    ("control_plane/perdure_control_plane/storage/sqlite.py", "PRAGMA {}"):
        "a pragma takes no parameters; the values are the constants above it",
}  # fmt: skip
"""Statements that are put together from text, and why that is safe."""


def in_storage(module: str) -> bool:
    return module == STORAGE or module.startswith(f"{STORAGE}.")


def sql_imports(tree: Any) -> list[str]:
    return [
        str(imported)
        for imported in tree.imports
        if imported.name.startswith("sqlalchemy") and not in_storage(imported.importer)
    ]


def sql_texts(tree: Any) -> list[str]:
    return [
        f"{module.at(node)}: {text[:60]!r}"
        for module in tree.modules
        if not in_storage(module.name)
        for node, text in module.texts()
        if SQL.match(text)
    ]


def built_statements(tree: Any) -> list[tuple[str, str, str]]:
    """File, text and place of every statement that is put together: f-strings, `%`, `+` and `.format`."""
    found = []
    for module in tree.modules:
        for node in ast.walk(module.tree):
            text = put_together(node)
            if text is not None and SQL.match(text):
                found.append((module.path, text, module.at(node)))
    return found


def put_together(node: ast.AST) -> str | None:
    match node:
        case ast.JoinedStr(values=parts) if any(isinstance(part, ast.FormattedValue) for part in parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod() | ast.Add()):
            return text
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return text
        case _:
            return None


def statements_in_tests(tree: Any) -> list[str]:
    """Imports of statements by tests; a store is set up by its own methods, except where stores are compared."""
    return [
        str(imported)
        for module in tree.tests
        if not module.path.startswith("tests/conformance/")
        for imported in module.imports()
        if imported.name.startswith("sqlalchemy.") and imported.name.rpartition(".")[2] in STATEMENT_MAKERS
    ]


def test_sql_is_imported_only_by_storage(project: Any) -> None:
    assert sql_imports(project) == []


def test_sql_is_written_only_in_storage(project: Any) -> None:
    assert sql_texts(project) == []


def test_no_statement_is_put_together_from_text(project: Any) -> None:
    assert [offence for offence in built_statements(project) if offence[:2] not in BUILT] == []


@pytest.mark.parametrize(("path", "text"), BUILT)
def test_each_statement_that_is_put_together_is_still_there(project: Any, path: str, text: str) -> None:
    assert BUILT[path, text]
    assert (path, text) in {offence[:2] for offence in built_statements(project)}


def test_tests_make_no_statements_of_their_own(project: Any) -> None:
    assert statements_in_tests(project) == []


@pytest.mark.parametrize(
    "line", ["from sqlalchemy import select", "import sqlalchemy as sa", "from sqlalchemy.sql import text"]
)
def test_an_import_of_sql_outside_storage_is_found(planted: Any, line: str) -> None:
    path = "control_plane/perdure_control_plane/usecases/sweep.py"

    assert [offence.partition(": ")[0] for offence in sql_imports(planted({path: line}))] == [f"{path}:1"]


@pytest.mark.parametrize(
    "statement",
    ["SELECT run_id FROM runs", "select 1", "insert into runs values (1)", "UPDATE runs SET state = 1",
     "DELETE FROM runs", "\n  WITH ready AS (SELECT 1)", "PRAGMA user_version"],
)  # fmt: skip
def test_a_statement_outside_storage_is_found(planted: Any, statement: str) -> None:
    path = "services/perdure_services/control_plane.py"
    tree = planted(
        {path: f'"""Update runs set nothing."""\n\nx = {statement!r}\ny = "update the run, then select it"\n'}
    )

    assert [offence.partition(": ")[0] for offence in sql_texts(tree)] == [f"{path}:3"]


@pytest.mark.parametrize(
    "code",
    ['f"SELECT * FROM runs WHERE id = {id}"', '"DELETE FROM runs WHERE id = " + id',
     '"UPDATE runs SET x = %s" % id', '"SELECT {} FROM runs".format(id)'],
)  # fmt: skip
def test_a_statement_put_together_in_storage_is_found(planted: Any, code: str) -> None:
    path = "control_plane/perdure_control_plane/storage/runs.py"

    found = built_statements(planted({path: f"id = 1\nx = {code}\n"}))

    assert [place for _, _, place in found] == [f"{path}:2"]


def test_a_test_that_makes_a_statement_is_found(planted: Any) -> None:
    tree = planted({
        "tests/unit/test_a.py": "from sqlalchemy import select\n",
        "tests/conformance/test_b.py": "from sqlalchemy import select\n",
    })  # fmt: skip

    assert len(statements_in_tests(tree)) == 1
