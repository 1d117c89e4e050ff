"""Who may import whom. The first table is the house, the second what departs from it and why."""

import ast
import sys
from typing import Any

import pytest

EVENTS = tuple(
    f"perdure.v1.{name}_pb2"
    for name in ("run_events", "fact_events", "approval_facts", "node_events", "decisions", "instances", "run_states")
)
"""The one protobuf message that is stored and read everywhere, with the files it is made of."""

REFUSALS = "perdure.v1.execution_pb2"
"""Only its RefusalReason is the log's: why a holder's event is not stored."""

PLANS = "perdure.v1.plans_pb2"
SERVER = "perdure_control_plane"

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "perdure": ("perdure", "google", "grpc", "grpc_health", "grpc_status"),
    "perdure.cli": (
        "perdure", "google", "grpc", "grpc_health", "grpc_status", "typer", "rich", "yaml", "platformdirs",
    ),
    "perdure.runlog": ("perdure.runlog", "perdure.v1", "google.protobuf"),
    "perdure.audit": ("perdure.audit", "cryptography"),
    "perdure.v1": ("perdure.v1", "google", "grpc"),
    SERVER: (),
    f"{SERVER}.domain": (
        f"{SERVER}.domain", "perdure.audit", "perdure.runlog", "perdure.expressions", "perdure.secrets", *EVENTS,
        REFUSALS, "uuid_utils",
    ),
    f"{SERVER}.manifests": (
        f"{SERVER}.manifests", f"{SERVER}.domain", "perdure.runlog", PLANS, "perdure.v1.instances_pb2",
        "perdure.v1.decisions_pb2", "perdure.expressions", "perdure.schemas", "perdure.secrets", "pydantic",
        "ruamel", "rfc8785", "cel",
    ),
    f"{SERVER}.usecases": (
        f"{SERVER}.usecases", f"{SERVER}.domain", f"{SERVER}.manifests", "perdure.audit", "perdure.runlog", *EVENTS, PLANS,
        "perdure.schemas", "perdure.secrets", "cronsim",
    ),
    "perdure.expressions": ("perdure.expressions", "perdure.schemas.patterns"),
    "perdure.secrets": ("perdure.secrets",),
    "perdure.encryption": ("perdure.encryption", "perdure.secrets", "google.protobuf", "cryptography"),
    "perdure.schemas": ("perdure.schemas", "jsonschema_rs", "referencing"),
    f"{SERVER}.storage": (
        f"{SERVER}.storage", f"{SERVER}.domain", f"{SERVER}.usecases.ports", "perdure.audit", "perdure.runlog", *EVENTS,
        REFUSALS, "sqlalchemy", "alembic", "asyncpg", "structlog", "zstandard",
    ),
    f"{SERVER}.api": (
        f"{SERVER}.api", f"{SERVER}.usecases", f"{SERVER}.domain", f"{SERVER}.manifests", "perdure.audit", "perdure.v1",
        "grpc", "grpc_health", "grpc_reflection", "grpc_status", "joserfc",
    ),
}  # fmt: skip
"""What a package may import beside the standard library; the longest name that fits a module holds for it."""

MAY_NOT_IMPORT: dict[str, tuple[str, ...]] = {
    "perdure_executor": (SERVER, "perdure_services", "perdure_recovery", "sqlalchemy", "alembic"),
    "perdure_recovery": (SERVER, "perdure_services", "perdure_executor", "sqlalchemy", "alembic"),
}
"""The work needs libraries of many kinds, so it is told what it may not import instead."""

EXCEPTIONS: tuple[tuple[str, str, str], ...] = (
    (f"{SERVER}.usecases", "google.protobuf.duration_pb2", "a duration is a field of the event messages"),
    (f"{SERVER}.manifests", "google.protobuf.duration_pb2", "a duration is a field of the plan message"),
    (f"{SERVER}.storage", "google.protobuf.message", "what is stored is read there, and may turn out to be no message"),
    (
        f"{SERVER}.storage",
        "google.protobuf.descriptor",
        "the large field of an event is kept apart, whatever its name is",
    ),
    (f"{SERVER}.api", "google", "messages are made of protobuf's own, and statuses of google.rpc's"),
    (f"{SERVER}.api", "perdure.runlog", "what a log means has one reading, and messages show it"),
    (f"{SERVER}.api", "structlog", "a refused call and an executor's stream are logged where they are seen"),
)
"""Importer, imported, and why it is right all the same."""

PURE = (
    "perdure.audit", "perdure.runlog", "perdure.expressions", "perdure.schemas",
    "perdure.secrets", f"{SERVER}.domain", f"{SERVER}.manifests",
)  # fmt: skip
"""Nothing here does I/O, waits, or draws lots."""

IMPURE = ("asyncio", "concurrent", "io", "multiprocessing", "os", "pathlib", "random", "selectors", "socket", "sqlite3",
          "subprocess", "tempfile", "threading", "time", "urllib")  # fmt: skip


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def rule_for(importer: str, table: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    fitting = [package for package in table if within(importer, package)]
    return table[max(fitting, key=len)] if fitting else None


def excepted(found: Any) -> bool:
    return any(within(found.importer, who) and within(found.name, what) for who, what, _ in EXCEPTIONS)


def offends(found: Any) -> bool:
    if within(found.name, "perdure_services") and not within(found.importer, "perdure_services"):
        return True
    forbidden = rule_for(found.importer, MAY_NOT_IMPORT) or ()
    if any(within(found.name, package) for package in forbidden):
        return True
    allowed = rule_for(found.importer, MAY_IMPORT)
    if allowed is None or found.name.partition(".")[0] in sys.stdlib_module_names:
        return False
    return not any(within(found.name, package) for package in allowed)


def offences(tree: Any) -> list[str]:
    return [str(found) for found in tree.imports if offends(found) and not excepted(found)]


def impurities(tree: Any) -> list[str]:
    return [
        str(found)
        for found in tree.imports
        if any(within(found.importer, package) for package in PURE) and found.name.partition(".")[0] in IMPURE
    ]


def uses_beyond_refusals(tree: Any) -> list[str]:
    """Uses of the stream's messages, other than why an event is refused, in layers that do not know the stream."""
    found = []
    for module in tree.modules:
        if not any(within(module.name, f"{SERVER}.{layer}") for layer in ("domain", "storage")):
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Attribute(value=ast.Name(id="execution_pb2"), attr=name):
                    if not name.startswith(("RefusalReason", "REFUSAL_REASON_")):
                        found.append(f"{module.at(node)}: execution_pb2.{name}")
                case ast.ImportFrom(module="perdure.v1.execution_pb2"):
                    found.append(f"{module.at(node)}: {ast.unparse(node)}")
    return found


def test_every_import_points_the_way_the_house_is_built(project: Any) -> None:
    assert offences(project) == []


def test_pure_packages_import_nothing_that_acts_or_waits(project: Any) -> None:
    assert impurities(project) == []


def test_below_the_api_the_work_stream_is_known_by_its_refusals_alone(project: Any) -> None:
    assert uses_beyond_refusals(project) == []


@pytest.mark.parametrize(("who", "what", "why"), EXCEPTIONS, ids=[f"{who} to {what}" for who, what, _ in EXCEPTIONS])
def test_each_exception_is_still_needed(project: Any, who: str, what: str, why: str) -> None:
    used = [found for found in project.imports if within(found.importer, who) and within(found.name, what)]

    assert why
    assert used, f"nothing in {who} imports {what} any more; take the exception out"


@pytest.mark.parametrize(
    ("path", "line", "imported"),
    [
        ("control_plane/perdure_control_plane/domain/run.py", "import sqlalchemy", "sqlalchemy"),
        ("control_plane/perdure_control_plane/domain/run.py", "from perdure.v1 import flows_pb2",
         "perdure.v1.flows_pb2"),
        ("control_plane/perdure_control_plane/domain/run.py", "from ..storage import tables",
         "perdure_control_plane.storage.tables"),
        ("control_plane/perdure_control_plane/manifests/run.py", "import grpc", "grpc"),
        ("control_plane/perdure_control_plane/usecases/run.py", "from perdure.v1.flows_pb2 import Flow",
         "perdure.v1.flows_pb2.Flow"),
        ("control_plane/perdure_control_plane/storage/run.py",
         "from perdure_control_plane.usecases.sweep import sweep", "perdure_control_plane.usecases.sweep.sweep"),
        ("control_plane/perdure_control_plane/storage/run.py", "from perdure_control_plane.api import names",
         "perdure_control_plane.api.names"),
        ("control_plane/perdure_control_plane/api/run.py", "from perdure_control_plane.storage import tables",
         "perdure_control_plane.storage.tables"),
        ("control_plane/perdure_control_plane/api/run.py", "import perdure_executor", "perdure_executor"),
        ("control_plane/perdure_control_plane/newlayer/run.py", "import grpc", "grpc"),
        ("executor/perdure_executor/run.py", "def f():\n    import perdure_control_plane.domain.run",
         "perdure_control_plane.domain.run"),
        ("executor/perdure_executor/run.py", "from perdure_services import settings", "perdure_services.settings"),
        ("clients/python/perdure/client/run.py", "import pydantic", "pydantic"),
        ("clients/python/perdure/client/run.py", "import typer", "typer"),
        ("clients/python/perdure/cli/run.py", "import sqlalchemy", "sqlalchemy"),
        ("clients/python/perdure/runlog/run.py", "from perdure.client import calls", "perdure.client.calls"),
        ("clients/python/perdure/runlog/run.py",
         "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import grpc", "grpc"),
        ("control_plane/perdure_control_plane/domain/run.py",
         "import importlib\nimportlib.import_module('perdure_executor.walker')", "perdure_executor.walker"),
    ],
)  # fmt: skip
def test_an_import_the_wrong_way_is_found_with_its_line(planted: Any, path: str, line: str, imported: str) -> None:
    tree = planted({path: f'"""A module."""\n\n{line}\n'})

    found = offences(tree)

    number = 3 + line.count("\n")
    assert [offence.partition(": ")[0] for offence in found] == [f"{path}:{number}"]
    assert found[0].endswith(f"imports {imported}")


def test_the_executor_may_use_libraries_and_programs_may_use_everything(planted: Any) -> None:
    tree = planted({
        "executor/perdure_executor/run.py": "import pydantic_ai, grpc, cel",
        "services/perdure_services/run.py": "import perdure_executor.worker, perdure_control_plane.api.mount",
    })  # fmt: skip

    assert offences(tree) == []


def test_io_in_a_pure_package_is_found(planted: Any) -> None:
    tree = planted({"clients/python/perdure/runlog/walk.py": "import json\nfrom time import monotonic\n"})

    assert impurities(tree) == ["clients/python/perdure/runlog/walk.py:2: perdure.runlog.walk imports time.monotonic"]


def test_a_message_of_the_stream_in_the_domain_is_found(planted: Any) -> None:
    path = "control_plane/perdure_control_plane/domain/run.py"
    text = "from perdure.v1 import execution_pb2\nexecution_pb2.REFUSAL_REASON_MALFORMED\nexecution_pb2.Hello()\n"

    assert uses_beyond_refusals(planted({path: text})) == [f"{path}:3: execution_pb2.Hello"]
