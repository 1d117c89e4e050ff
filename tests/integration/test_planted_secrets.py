"""Secrets are planted wherever work meets them; afterwards nothing that anybody stores or prints has one of them."""

import asyncio
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.planted import CANARY, Site, site
from tests.postgres import PostgresServer

SECRETS = {
    "the input": 'input "of" the flow/+\\1',
    "the environment": "Environment?&=\u00fc 22",
    "the file": "of-the-file-333333",
    "standard input": "of-standard-input-4444",
    "the output": "of-the-output-55555",
    "what a function hid": "of-a-function-666666",
    "what a program printed": "of-a-program-7777777",
    "what somebody typed": "typed-by-hand-888888",
    "what somebody wrote": "written-by-hand-99999",
}
ALLOWED = {
    "PERDURE_EXECUTOR_SECRET_VARIABLES": "PLANTED_INPUT,PLANTED_ENV,PLANTED_STDIN",
    "PLANTED_INPUT": SECRETS["the input"],
    "PLANTED_ENV": SECRETS["the environment"],
    "PLANTED_STDIN": SECRETS["standard input"],
}
FUNCTIONS = f'''
import base64, json, urllib.parse
from perdure_executor.node_context import NodeFailure

CANARY = {CANARY!r}


async def tell(call):
    """Leaves what it was given in every form, in small and in large."""
    value = call.inputs["value"]
    call.log(CANARY + " " + value)
    print(CANARY, value, flush=True)
    quoted = urllib.parse.quote(value, safe="")
    packed = base64.b64encode(("user:" + value).encode()).decode()
    forms = [value, quoted, packed, json.dumps(value), json.dumps([value]), repr(value), value.encode().hex()]
    return {{"canary": CANARY, "forms": forms, value: [{{"inside": "<" + value + ">"}}], "large": (value + CANARY) * 10000}}


def mint(call):
    """Makes two secrets of its own: hides one, and declares the other."""
    call.hide({SECRETS["what a function hid"]!r})
    call.log(CANARY + " " + {SECRETS["what a function hid"]!r})
    return {{"canary": CANARY, "token": {SECRETS["the output"]!r}, "again": "and {SECRETS["the output"]} again"}}


async def fails(call):
    """Says it to people."""
    raise NodeFailure(CANARY + " " + "x" * 980 + " " + call.inputs["value"])


def breaks(call):
    """Says it in its traceback."""
    raise ValueError(CANARY + " " + call.inputs["value"])


FUNCTIONS = {{"tell": tell, "mint": mint, "fails": fails, "breaks": breaks}}
'''
SHOW = f"""
printf '{CANARY} %s %s\\n' "$INPUT" "$ENV"; echo {CANARY} "$FILE" >&2; cat
printf '\\n%s' "${{FILE%????}}"; sleep 0.5; echo "${{FILE#"${{FILE%????}}"}}"
printf 'user:%s' "$ENV" | base64 -w0; printf '%s' "$FILE" | od -An -tx1 | tr -d ' \\n'
"""
PRINT = f'printf "%s" "{{\\"canary\\": \\"{CANARY}\\", \\"left\\": \\"$FILE\\", \\"token\\": \\"$(cat printed)\\"}}"'
ENV, FILE = "secret://env/PLANTED_ENV", "secret://file/database/password"
ONCE: dict[str, Any] = {"effect": "none", "on_failure": {"max_iterations": 1}}


def head(name: str, *nodes: dict[str, Any], **fields: Any) -> str:
    about = {"playbook_id": name, "version": "1.0.0", "title": name, "objective": "Use secrets"}
    return json.dumps({**about, "acceptance_criteria": ["None is left"], "nodes": nodes, **fields})


def function(node: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"id": node, "type": "function", "function": name, **ONCE, **fields}


def shell(node: str, command: str, **fields: Any) -> dict[str, Any]:
    return {"id": node, "type": "deterministic", "shell": True, "command": command, **ONCE, **fields}


CHILD = head("child", function("tell", "tell", inputs={"value": "{{ inputs.token }}"}), sensitive_inputs=["token"])
PLANTED = head(
    "planted",
    shell("show", SHOW, env={"INPUT": "{{ inputs.token }}", "ENV": ENV, "FILE": FILE}, stdin="secret://env/PLANTED_STDIN"),
    shell("print", PRINT, env={"FILE": FILE}, output="json", sensitive=["token"]),
    shell("exit", f'echo {CANARY} "$FILE" >&2; exit 3', env={"FILE": FILE}),
    function("mint", "mint", sensitive=["token"]),
    function("tell", "tell", inputs={"value": ENV}),
    function("fails", "fails", inputs={"value": FILE}),
    function("breaks", "breaks", inputs={"value": ENV}),
    {"id": "below", "type": "playbook", "playbook_id": "child", "version": "1.0.0",
     "inputs": {"token": "{{ inputs.token }}"}},
    {"id": "each", "type": "map", "items": "[1, 2]", "node": {
        "type": "function", "function": "tell", "effect": "none", "inputs": {"value": ENV}}},
    {"id": "look", "type": "agentic", "agent": "reader", "prompt": "Read. {{ nodes.show.stdout }} {{ nodes.mint }}",
     "tools": ["list_files", "read_file", "search_files"], "workspace": "notes"},
    {"id": "ask", "type": "approval", "prompt": "{{ nodes.show.stdout }} {{ nodes.print.token }}?",
     "subject": {"all": "{{ nodes.tell.forms }}", "why": "{{ nodes.mint.again }}"}},
    shell("end", f"echo {CANARY}", env={"FILE": FILE}),
    inputs=[{"name": "token", "required": True}],
    sensitive_inputs=["token"],
    error_handlers=[{"on": "failed", "nodes": ["exit", "fails", "breaks"], "action": "continue"}],
)  # fmt: skip


@pytest.fixture
def planted(tmp_path: pathlib.Path) -> Iterator[Site]:
    """A place with the secrets in it, and what its processes are started with."""
    (tmp_path / "secrets" / "database").mkdir(parents=True)
    (tmp_path / "secrets" / "database" / "password").write_text(SECRETS["the file"] + "\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text(f"{CANARY}: {SECRETS['the environment']}\n")
    (tmp_path / "printed").write_text(SECRETS["what a program printed"])
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    for name, text in {"child": CHILD, "planted": PLANTED}.items():
        (tmp_path / f"{name}.json").write_text(text)
    written = SECRETS["what somebody wrote"]
    (tmp_path / "wrong.json").write_text(
        head("wrong", function("tell", "tell", inputs={"a": f"secret://vault/{written}"}))
    )
    with site(tmp_path, SECRETS) as made:
        yield made


def play(made: Site) -> None:
    """Starts the playbook, decides, and asks for everything that there is to ask for."""
    allowed = ALLOWED | {"PERDURE_EXECUTOR_SECRETS_DIR": str(made.folder / "secrets")}
    made.work("--functions", str(made.folder / "functions.py"), **allowed)
    versions = {name: publish(made, name) for name in ("child", "planted")}
    made.perdure("sessions", "create", "s")
    which = ["--playbook-id", "planted", "--version", "1.0.0", "--digest", versions["planted"]["digest"]]
    start = ["flows", "start", *which, "--session-id", "s", "-o", "json"]

    made.perdure("playbooks", "validate", "--manifest-file", str(made.folder / "wrong.json"), code=1)
    made.perdure("playbooks", "create", "--manifest-file", str(made.folder / "wrong.json"), code=1)
    made.perdure(*start, "--idempotency-key", "typed", "--input", f"token={SECRETS['what somebody typed']}", code=2)
    reference = "token=secret://env/PLANTED_INPUT"
    flow = json.loads(made.perdure(*start, "--idempotency-key", "one", "--input", reference))
    made.perdure("flows", "watch", flow["name"], "--until", "held", code=9)
    (approval,) = listed(made, "approvals", "list")
    for output in ("json", "table"):
        made.perdure("approvals", "show", approval["name"], "-o", output)
    made.perdure("approvals", "approve", approval["name"], "--yes", "--reason", "seen")
    for output in ("json", "table"):
        made.perdure("flows", "watch", flow["name"], "-o", output)
    read(made, flow)


def listed(made: Site, *command: str) -> list[Any]:
    """What a command lists."""
    return [json.loads(line) for line in made.perdure(*command, "-o", "json").splitlines()]


def publish(made: Site, name: str) -> Any:
    """Stores and publishes one of the documents."""
    created = json.loads(
        made.perdure("playbooks", "create", "--manifest-file", str(made.folder / f"{name}.json"), "-o", "json")
    )
    evidence = '[{"kind": "review", "id": "CHG-1"}]'
    made.perdure(
        "playbooks", "publish", created["name"], "--digest", created["digest"], "--evidence-refs-json", evidence
    )
    return created


def read(made: Site, flow: Any) -> None:
    """Everything that is told of a flow, and of its server."""
    runs = listed(made, "runs", "list")
    assert len(runs) == 2
    for run in runs:
        for told in ("get", "events", "recovery", "effects", "checkpoints", "inbox"):
            made.perdure("runs", told, run["name"], "-o", "json")
        made.perdure("runs", "why", run["name"])
    for task in listed(made, "tasks", "list", "s"):
        made.perdure("tasks", "output", task["name"])
    for told in (["flows", "get", flow["name"]], ["sessions", "events", "s"], ["audit", "list"], ["runtime", "get"]):
        made.perdure(*told, "-o", "json")
    for told, which in {"runs": ["--all"], "audit": []}.items():
        made.perdure(told, "export", *which, "--to", str(made.folder / f"{told}.jsonl"))
        made.search(f"the export of {told}", (made.folder / f"{told}.jsonl").read_bytes())
    made.perdure("credentials", "inventory", "-o", "json")
    made.perdure("verify", "--all")


def judge(made: Site, *stores: str) -> None:
    """Nothing was found, and the search has seen what stood beside every secret."""
    search = made.search
    assert search.found == []
    told = {"perdure approvals show", "perdure flows watch", "perdure runs events", "perdure tasks output"}
    assert told | {"the export of runs", "what the executor prints", *stores} <= search.canaries
    assert len(search.places) >= 30, sorted(search.places)


def test_no_planted_secret_is_in_a_store_of_one_file_a_log_an_export_or_an_answer(planted: Site) -> None:
    planted.serve()
    play(planted)

    planted.search.sqlite(planted.folder / "data")
    planted.close()
    planted.search.sqlite(planted.folder / "data")

    judge(planted, "the table payloads", "the table run_events")


def test_no_planted_secret_is_in_a_postgresql_database(planted: Site, postgres: PostgresServer) -> None:
    database = asyncio.run(postgres.make())
    url = database.render_as_string(hide_password=False)
    try:
        planted.serve("--database", url)
        play(planted)
        planted.search.postgres(url)
        planted.close()
    finally:
        asyncio.run(postgres.drop(database))

    judge(planted, "the table payloads", "the table run_events")
