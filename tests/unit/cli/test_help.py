"""Help: every command, argument and option has some, it comes without gRPC, and nothing of the contract is out of reach."""

import ast
import pathlib
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_args

import pytest

import perdure.cli
import perdure.v1
from perdure.client.channel import SERVICES
from perdure.v1 import execution_pb2
from perdure_services import main as server_program
from perdure_services.settings import ControlPlaneSettings, ExecutorSettings

PROGRAMS = pathlib.Path(sys.executable).parent

PROMISED = {
    "status", "runtime get", "verify", "run", "playbooks convert",
    "playbooks validate", "playbooks create", "playbooks publish", "playbooks revoke", "playbooks get", "playbooks list",
    "queues list", "queues get", "queues set",
    "keys create", "keys list", "keys get", "keys rotate", "keys revoke",
    "encryption create", "encryption rotate", "encryption list", "encryption decrypt",
    "auth whoami", "auth login", "auth logout",
    "config profile set", "config profile use", "config profile list", "config profile show", "config profile delete",
    "schedules create", "schedules get", "schedules list", "schedules firings", "schedules trigger", "schedules pause",
    "schedules resume", "schedules delete",
    "credentials inventory", "policy get", "policy set",
    "webhooks list", "webhooks pending", "webhooks dead", "webhooks retry", "webhooks drop",
    "audit list", "audit head", "audit export", "audit verify",
    "sessions create", "sessions get", "sessions list", "sessions events",
    "flows start", "flows get", "flows list", "flows pause", "flows resume", "flows cancel", "flows watch",
    "runs get", "runs list", "runs events", "runs export", "runs checkpoints", "runs effects", "runs watch",
    "runs why", "runs recovery", "runs continue",
    "runs resolve", "runs signal", "runs inbox", "runs pause", "runs resume", "runs interrupt", "runs cancel",
    "approvals list", "approvals watch", "approvals show", "approvals approve", "approvals reject", "approvals decide",
    "approvals delegate", "approvals withdraw", "approvals comment",
    "tasks list", "tasks get", "tasks output", "agents list", "agents get",
}  # fmt: skip

FLAGS = {
    "perdure playbooks create": {"--manifest-file"},
    "perdure playbooks publish": {"--version", "--digest", "--status", "--evidence-refs-json"},
    "perdure flows start": {
        "--playbook-id", "--version", "--digest", "--session-id", "--flow-id", "--idempotency-key", "--request-file",
    },
    "perdure tasks output": {"--full"},
    "perdure verify": {"--all", "--flow-id", "--export", "--acks", "--launches"},
    "perdure runs export": {"--all", "--flow-id", "--to"},
    "perdure run": {"--input"},
    "perdure audit verify": {"--export", "--remembered", "--public-key"},
}  # fmt: skip

OTHER_WAYS = {"WatchRun": "watch_run", "WatchFlow": "watch_flow", "WatchApprovals": "watch_approvals"}
"""RPCs that a command calls through the client, which goes on where a stream has broken off."""

NOT_FOR_PEOPLE = {execution_pb2.DESCRIPTOR.services_by_name["ExecutionService"].full_name: "executors call it"}


def words_called() -> set[str]:
    """Every attribute that the command line's modules name."""
    files = pathlib.Path(perdure.cli.__file__).parent.rglob("*.py")
    trees = [ast.walk(ast.parse(file.read_text())) for file in files]
    return {node.attr for tree in trees for node in tree if isinstance(node, ast.Attribute)}


def test_every_promised_command_and_flag_is_there(commands: Any) -> None:
    assert {typed.removeprefix("perdure ") for typed in commands if typed.startswith("perdure ")} == PROMISED
    for typed, flags in FLAGS.items():
        options = {flag for parameter in commands[typed].params for flag in parameter.opts}
        assert flags <= options, typed


def test_every_command_says_what_it_does_and_what_each_of_its_parts_is(commands: Any) -> None:
    silent = [typed for typed, command in commands.items() if not command.help]
    for typed, command in commands.items():
        parts = [part for part in command.params if not getattr(part, "help", None) and part.name != "help"]
        silent += [f"{typed} {part.name}" for part in parts]

    assert silent == []


def test_following_says_where_it_tells_what(commands: Any) -> None:
    for typed in ("perdure runs watch", "perdure flows watch"):
        assert "For people it is told on standard error. With -o json every event" in commands[typed].help


def test_every_command_that_prints_data_prints_it_in_every_format(commands: Any) -> None:
    client = {typed: command for typed, command in commands.items() if typed.startswith("perdure ")}
    without = [typed for typed, one in client.items() if "--output" not in {f for p in one.params for f in p.opts}]

    assert without == []


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_rpc_that_a_person_needs_can_be_reached(service: Any) -> None:
    called = words_called()

    missing = [method.name for method in service.methods if OTHER_WAYS.get(method.name, method.name) not in called]

    assert missing == []


def test_a_service_that_people_cannot_reach_has_a_reason() -> None:
    modules = [import_module(f"perdure.v1.{found.name}") for found in iter_modules(perdure.v1.__path__)]
    files = [module.DESCRIPTOR for module in modules if module.__name__.endswith("_pb2")]
    offered = {service.full_name for file in files for service in file.services_by_name.values()}

    assert offered == {service.full_name for service in SERVICES} | set(NOT_FOR_PEOPLE)


@pytest.mark.parametrize("program", ["perdure", "perdure-server"])
@pytest.mark.parametrize(("flag", "begins"), [("--help", "Usage: "), ("--version", "{program} ")])
def test_help_and_version_come_without_what_is_slow(program: str, flag: str, begins: str) -> None:
    module = {"perdure": "perdure.cli.main", "perdure-server": "perdure_services.main"}[program]
    code = f"import sys, {module} as m\nsys.argv = ['{program}', '{flag}']\ntry:\n    m.run()\nfinally:\n"
    code += "    print(*sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.startswith(begins.format(program=program))
    slow = {"grpc", "google", "asyncio", "rich", "yaml", "pydantic", "sqlalchemy", "structlog"}
    assert slow & set(told.stderr.split()) == set()


def test_settings_without_a_flag_are_named_with_their_defaults(commands: Any) -> None:
    for kind, typed, told in (
        (ControlPlaneSettings, "perdure-server control-plane", server_program.CONTROL_PLANE_MORE),
        (ExecutorSettings, "perdure-server executor", server_program.EXECUTOR_MORE),
    ):
        plural = {"queue": "queues", "provider": "providers"}
        flags = {plural.get(part.name, part.name) for part in commands[typed].params} | {"queues", "providers"}
        unflagged = {name: field for name, field in kind.model_fields.items() if name not in flags}

        named = told.partition(":\n")[2].replace("\n", " ").split("), ")
        said = {entry.strip().partition(" (")[0]: entry.strip(" )").partition(" (")[2] for entry in named}

        assert said == {name: default_words(field.default) for name, field in unflagged.items()}


def default_words(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:.0f}" if isinstance(default, (int, float)) else str(default or "none")


def test_flags_are_settings(commands: Any) -> None:
    own = {"settings", "help"}
    for kind, typed in ((ControlPlaneSettings, "control-plane"), (ExecutorSettings, "executor")):
        flags = {part.name for part in commands[f"perdure-server {typed}"].params} - own
        assert flags <= set(kind.model_fields), typed


def test_formats_are_one_list() -> None:
    log_formats = get_args(ControlPlaneSettings.model_fields["log_format"].annotation)
    assert log_formats == ("text", "json")
