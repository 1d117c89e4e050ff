"""Tables on pages that list something of the code list all of it, and nothing else."""

import pathlib
import re
import socket
from typing import Any, get_args

import pytest

from perdure.audit.events import AuditDetail, AuditType
from perdure.cli.exit_codes import ExitCode
from perdure.v1 import errors_pb2, instances_pb2
from perdure_control_plane.api.health import SERVICES
from perdure_control_plane.api.status import CODES
from perdure_control_plane.domain.approval_change import ApprovalChangeKind
from perdure_control_plane.domain.roles import SCOPES, Role, Scope
from perdure_control_plane.manifests import model
from perdure_control_plane.manifests.diagnostics import WARNINGS
from perdure_services.settings import ControlPlaneSettings, ExecutorSettings
from perdure_services.webhook_settings import WebhookSettings

Table = list[list[str]]


def table(page: Any, heading: str) -> Table:
    """The rows of the first table below a heading, without its head."""
    _, found, rest = f"\n{page.text}".partition(f"\n{heading}\n")
    assert found, f"{page.path} has no heading {heading!r}"
    section = re.split(r"^#{1,6} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert rows is not None, f"there is no table below {heading!r}"
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))] for row in rows[0].splitlines()[2:]]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def names(rows: Table) -> list[str]:
    return [name for row in rows for name in named(row[0])]


def fields(kind: Any) -> set[str]:
    return {field.alias or name for name, field in kind.model_fields.items()}


@pytest.fixture
def read(project: Any) -> Any:
    return project.page


def test_every_error_reason_says_what_to_do(read: Any) -> None:
    rows = table(read("docs/errors.md"), "# Errors")
    published = [value.name.removeprefix("ERROR_REASON_") for value in errors_pb2.ErrorReason.DESCRIPTOR.values[1:]]

    assert names(rows) == published
    assert [row for row in rows if len(row[3]) < 10] == []


def test_every_error_reason_has_the_code_that_it_is_sent_with(read: Any) -> None:
    said = {names([row])[0]: (row[1], row[2] == "yes") for row in table(read("docs/errors.md"), "# Errors")}
    sent = {kind.reason: (code.name, seconds is not None) for kind, (code, seconds) in CODES.items()}

    assert said == {**sent, "INTERNAL": ("INTERNAL", False)}


def test_every_cause_on_the_page_of_errors_is_one(read: Any) -> None:
    causes = {value.name.removeprefix("FAILURE_CAUSE_") for value in instances_pb2.FailureCause.DESCRIPTOR.values}

    assert set(names(table(read("docs/errors.md"), "## Why a run or a node failed"))) <= causes


def test_every_reason_of_the_command_line_s_own_is_on_the_page_of_errors(read: Any, project: Any) -> None:
    published = {value.name.removeprefix("ERROR_REASON_") for value in errors_pb2.ErrorReason.DESCRIPTOR.values}
    files = [path for path in project.files if re.match(r"clients/python/perdure/cli/.*\.py$", path)]
    given = r"(?:Refused\(\s*ExitCode\.\w+,|_Error\()\s*\"([A-Z_]+)\""
    said = {reason for path in files for reason in re.findall(given, project.text(path))}

    assert said - published == set(names(table(read("docs/errors.md"), "## Reasons of the command line's own")))


def test_the_page_of_playbooks_has_every_warning_that_a_policy_can_block(read: Any) -> None:
    assert names(table(read("docs/playbooks.md"), "## Warnings")) == sorted(WARNINGS)


def test_the_page_on_audit_has_every_type_and_every_detail(read: Any) -> None:
    rows = table(read("docs/audit.md"), "## Types")
    details = {name for row in rows for name in named(row[2])} | {AuditDetail.HAS_REASON.value}

    assert names(rows) == [kind.value for kind in AuditType]
    assert details == {detail.value for detail in AuditDetail}


def test_the_page_of_the_command_line_has_every_exit_code(read: Any) -> None:
    rows = table(read("docs/cli.md"), "## Exit codes")

    assert [int(row[0]) for row in rows] == [code.value for code in ExitCode]


def test_the_page_of_the_command_line_has_every_command(read: Any, programs: Any) -> None:
    said = names(table(read("docs/cli.md"), "## Every command"))
    there = [name for program, command in programs.items() for name, _ in command.all(program)]

    assert sorted(said) == sorted(there)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("## Settings of the control plane", ControlPlaneSettings),
        ("## Settings of an executor", ExecutorSettings),
    ],
)
def test_every_setting_stands_with_its_default(read: Any, heading: str, kind: Any) -> None:
    said = {named(row[0])[0]: row[1] for row in table(read("docs/limits.md"), heading)}

    assert said == {name: shown(field.default) for name, field in kind.model_fields.items()}


def test_every_field_of_a_webhook_stands_with_what_it_is(read: Any) -> None:
    assert names(table(read("docs/inboxes.md"), "## Webhooks")) == list(WebhookSettings.model_fields)


def test_every_change_of_an_approval_is_told(read: Any) -> None:
    assert names(table(read("docs/inboxes.md"), "## What can happen")) == list(ApprovalChangeKind)


def shown(default: Any) -> str:
    """A default as the page writes it."""
    match default:
        case bool():
            return str(default).lower()
        case float() if default == int(default):
            return str(int(default))
        case tuple():
            return ", ".join(default) or "none"
        case None:
            return "none"
        case pathlib.Path() if default == pathlib.Path():
            return "the present directory"
        case str() if default == socket.gethostname():
            return "the host's name"
        case _:
            return str(default)


def test_the_page_about_identity_has_every_role_with_its_scopes(read: Any) -> None:
    rows = {names([row])[0]: set(named(row[2])) for row in table(read("docs/identity.md"), "## Roles")}
    there = {role.value.lower(): {scope.value.replace("_", " ").lower() for scope in SCOPES[role]} for role in Role}

    assert rows.pop("admin") == set()
    assert there.pop("admin") == {scope.value.replace("_", " ").lower() for scope in Scope}
    assert rows == there


def test_the_page_of_playbooks_has_every_field_of_a_document(read: Any) -> None:
    assert set(names(table(read("docs/playbooks.md"), "## The document"))) == fields(model.Manifest)


def test_the_page_of_playbooks_has_every_field_of_a_document_s_parts(read: Any) -> None:
    said = [set(named(row[1])) for row in table(read("docs/playbooks.md"), "### Its parts")]
    defaults = {"builtin", "offline", "queue", "refuse"}
    kinds = (
        model.Input, model.Role, model.Phase, model.Requirement, model.Tools, model.RuntimeDefaults, model.Scopes,
        model.Concurrency, model.Edge, model.FailureTaker,
    )  # fmt: skip

    assert [row - defaults for row in said] == [fields(kind) for kind in kinds]


def test_the_page_of_playbooks_has_every_field_of_what_takes_a_failure(read: Any) -> None:
    assert set(names(table(read("docs/playbooks.md"), "## Failures that are taken"))) == fields(model.FailureTaker)


def test_the_page_of_playbooks_has_every_field_of_a_contract(read: Any) -> None:
    said = [set(named(row[1])) for row in table(read("docs/playbooks.md"), "## Contracts")]

    assert said == [fields(kind) for kind in (model.Needs, model.Promises, model.PromisedFile, model.EdgeContract)]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("## `deterministic`: a command", model.DeterministicNode),
        ("## `function`: a callable of the executor", model.FunctionNode),
        ("## `approval`: a hold point", model.ApprovalNode),
        ("## `playbook`: a run of another playbook", model.PlaybookNode),
        ("## `agentic`: a language model with tools", model.AgenticNode),
    ],
)
def test_the_page_of_playbooks_has_every_field_of_a_node(read: Any, heading: str, kind: Any) -> None:
    page = read("docs/playbooks.md")
    of_every_node = names(table(page, "## Every node"))
    own = names(table(page, heading))

    assert set(of_every_node) == {*fields(model.Node), "type"}
    assert sorted([*of_every_node, *own]) == sorted(fields(kind))


def test_the_page_of_playbooks_has_every_way_to_follow_a_failure(read: Any) -> None:
    page = read("docs/playbooks.md")
    retry = next(row for row in table(page, "## Every node") if row[0] == "`retry`")

    assert set(names(table(page, "## Failures"))) == fields(model.OnFailure)
    assert set(named(retry[1])) == fields(model.Retry)


def test_the_page_of_playbooks_has_every_effect(read: Any) -> None:
    page = read("docs/playbooks.md")
    start = page.text.index("| effect | begins |")
    rows = [line.split("|")[1].strip() for line in page.text[start:].split("\n\n")[0].splitlines()[2:]]

    assert [row.strip("`") for row in rows] == list(get_args(model.Effect))


def test_the_page_about_operating_has_every_service_that_health_answers_for(read: Any) -> None:
    said = [row[0].strip("`") for row in table(read("docs/operating.md"), "## Is it well?")]

    assert said == [*SERVICES, "the empty name"]


def test_every_file_of_a_deployment_says_what_it_is(read: Any, project: Any) -> None:
    beside = {"deploy/README.md", "deploy/Dockerfile.dockerignore"}

    assert set(names(table(read("deploy/README.md"), "# Deploy"))) == {
        path for path in project.files if path.startswith("deploy/") and path not in beside
    }


def test_every_tier_of_tests_says_what_is_real_in_it(read: Any, project: Any) -> None:
    said = [name.removesuffix("/") for name in names(table(read("CONTRIBUTING.md"), "## Tests, by what they cost"))]
    there = {
        "/".join(path.split("/")[:2])
        for path in project.files
        if re.match(r"tests/\w+/test_|tests/\w+/\w+/test_", path)
    }

    assert sorted(said) == sorted(there)


def test_every_decision_is_listed_under_its_title_and_numbered_in_order(read: Any, project: Any) -> None:
    records = [path for path in project.files if re.match(r"docs/decisions/\d{4}-", path)]
    listed = [(line[0], line[1]) for line in table(read("docs/decisions/README.md"), "# Decisions")]
    titles = [project.text(path).splitlines()[0].removeprefix("# ").split(" ", 1) for path in records]

    assert [path.rpartition("/")[2][:4] for path in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    assert listed == [
        (f"[{number}]({path.rpartition('/')[2]})", title) for path, (number, title) in zip(records, titles, strict=True)
    ]


def test_every_decision_says_context_decision_and_consequences(project: Any) -> None:
    records = [path for path in project.files if re.match(r"docs/decisions/\d{4}-", path)]
    parts = {path: re.findall(r"^## (.+)$", project.text(path), re.MULTILINE) for path in records}

    assert {path: found for path, found in parts.items() if found != ["Context", "Decision", "Consequences"]} == {}


def test_every_page_is_reached_from_the_readme(project: Any) -> None:
    seen: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.endswith(".md"):
            continue
        seen.add(path)
        targets = [target.partition("#")[0] for _, target in project.page(path).links]
        places = [(project.root / path).parent / target for target in targets if target and "://" not in target]
        waiting += [place.resolve().relative_to(project.root.resolve()).as_posix() for place in places]

    assert {page.path for page in project.pages} - seen == set()


def test_a_row_that_is_missing_is_seen(page: Any) -> None:
    text = "# Things\n\n| thing | what |\n|---|---|\n| `one` | first |\n| `two`, `three` | others |\n\nAnd so on.\n"

    assert names(table(page(text), "# Things")) == ["one", "two", "three"]
    assert names(table(page(text.replace("| `one` | first |\n", "")), "# Things")) == ["two", "three"]


def test_a_table_that_is_gone_is_seen(page: Any) -> None:
    with pytest.raises(AssertionError, match="no table below"):
        table(page("# Things\n\nNothing.\n\n## Others\n\n| a |\n|---|\n| b |\n"), "# Things")
    with pytest.raises(AssertionError, match="no heading"):
        table(page("# Things\n"), "# Other things")
