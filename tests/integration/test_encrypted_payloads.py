"""What work is given and leaves is encrypted by clients and executors; whoever has no key sees that it is there."""

import base64
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.planted import CANARY, Site, site

PLAIN = {
    "an input": "input-that-nobody-reads",
    "a secret input": "secret-input-of-ours",
    "a request's content": "content-that-nobody-reads",
    "an output": "output-that-nobody-reads",
    "a line of a function": "line-that-nobody-reads",
    "an error": "error-that-nobody-reads",
    "what a command prints": "print-that-nobody-reads",
    "a decision's content": "decision-that-nobody-reads",
    "a signal": "signal-that-nobody-reads",
    "an item": "item-that-nobody-reads",
    "a question": "question-that-nobody-reads",
    "an answer": "answer-that-nobody-reads",
}
FUNCTIONS = f'''
import json
from perdure_executor.node_context import NodeFailure


async def leave(call):
    """Leaves what it was given, and more."""
    call.log({PLAIN["a line of a function"]!r})
    return {{"given": call.inputs, "own": {PLAIN["an output"]!r}, "items": [{PLAIN["an item"]!r}, 2], "none": None}}


async def fails(call):
    """Says it to people."""
    raise NodeFailure({PLAIN["an error"]!r})


async def check(call):
    """Sees everything as it was, but for what it was not given to open."""
    seen = call.inputs["seen"]
    assert seen["inputs"]["name"] == {PLAIN["an input"]!r}
    assert seen["inputs"]["count"] == 3
    assert seen["inputs"]["token"].startswith("encrypted://")
    assert call.inputs["token"] == {PLAIN["a secret input"]!r}
    assert seen["content"] == {PLAIN["a request's content"]!r}
    assert seen["nodes"]["leave"]["own"] == {PLAIN["an output"]!r}
    assert seen["nodes"]["print"]["stdout"] == {PLAIN["what a command prints"]!r} + "\\n" + {PLAIN["an input"]!r} + "\\n"
    assert seen["nodes"]["each"]["results"] == [{{"it": {PLAIN["an item"]!r}}}, {{"it": 2}}]
    assert seen["nodes"]["below"]["it"] == {PLAIN["an item"]!r}
    assert seen["nodes"]["elsewhere"]["it"] == {PLAIN["an input"]!r}
    assert seen["nodes"]["ask"]["content"] == {{"said": {PLAIN["a decision's content"]!r}}}
    assert seen["nodes"]["wonder"]["told"] == {{"said": {PLAIN["an answer"]!r}}}
    assert seen["nodes"]["paid"]["by"] == {PLAIN["a signal"]!r}
    assert seen["error"]["message"] == {PLAIN["an error"]!r}, seen["error"]
    return {{"right": True}}


async def give(call):
    """Gives back what it was given."""
    return {{"it": call.inputs["it"]}}


async def wonder(call):
    """Asks a person."""
    return {{"told": call.ask({PLAIN["a question"]!r}, schema={{"type": "object", "required": ["said"]}})}}


FUNCTIONS = {{"leave": leave, "fails": fails, "check": check, "give": give, "wonder": wonder}}
'''


def head(name: str, *nodes: dict[str, Any], **fields: Any) -> str:
    about = {"playbook_id": name, "version": "1.0.0", "title": name, "objective": "Work without being read"}
    return json.dumps({**about, "acceptance_criteria": ["Nobody reads it"], "nodes": nodes, **fields})


def function(node: str, name: str, **fields: Any) -> dict[str, Any]:
    once = {"effect": "none", "on_failure": {"max_iterations": 1}}
    return {"id": node, "type": "function", "function": name, **once, **fields}


SEEN = {
    "inputs": "{{ inputs }}",
    "content": "{{ request.content }}",
    "nodes": "{{ nodes }}",
    "error": "{{ nodes.late.it }}",
}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "count": {"type": "integer"},
        "token": {"type": "string"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
CHILD = head("child", function("give", "give", inputs={"it": "{{ inputs.item }}"}), inputs=[{"name": "item"}])
SEALED = head(
    "sealed",
    function("leave", "leave", inputs={"name": "{{ inputs.name }}"}),
    {"id": "print", "type": "deterministic", "shell": True, "effect": "none",
     "command": "cat printed; cat", "stdin": "{{ inputs.name }}\n"},
    function("fails", "fails"),
    function("late", "give", inputs={"it": "{{ last_error }}"}),
    {"id": "each", "type": "map", "items": "nodes.leave.items",
     "node": {"type": "function", "function": "give", "effect": "none", "inputs": {"it": "{{ item }}"}}},
    {"id": "below", "type": "playbook", "playbook_id": "child", "version": "1.0.0",
     "inputs": {"item": "{{ nodes.leave.items[0] }}"}},
    function("elsewhere", "give", inputs={"it": "{{ inputs.name }}"}, queue="other"),
    {"id": "look", "type": "agentic", "agent": "reader", "prompt": "Read. {{ nodes.leave.own }}"},
    {"id": "ask", "type": "approval", "kind": "review", "prompt": "Is {{ nodes.leave.own }} right?",
     "subject": {"content": {"was": "{{ inputs.name }}"}}, "content_schema": {"type": "object"}},
    function("wonder", "wonder"),
    {"id": "paid", "type": "wait", "signal": "payment", "payload_schema": {"required": ["by"]}},
    function("check", "check", inputs={"seen": SEEN, "token": "{{ inputs.token }}"}),
    inputs=SCHEMA,
    sensitive_inputs=["token"],
    error_handlers=[{"on": "failed", "nodes": ["fails"], "action": "continue"}],
)  # fmt: skip


@pytest.fixture
def sealed(tmp_path: pathlib.Path) -> Iterator[Site]:
    """A place with a key, and a server that has none."""
    (tmp_path / "printed").write_text(f"{PLAIN['what a command prints']}\n")
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    with site(tmp_path, PLAIN) as made:
        made.serve()
        made.perdure("encryption", "create", str(tmp_path / "keys.json"))
        yield made


def start(made: Site, text: str, *inputs: str, code: int = 0, key: str = "one", **keys: str) -> Any:
    """Stores, publishes and starts a document."""
    name = json.loads(text)["playbook_id"]
    (made.folder / f"{name}.json").write_text(text)
    created = json.loads(
        made.perdure("playbooks", "create", "--manifest-file", str(made.folder / f"{name}.json"), "-o", "json")
    )
    evidence = '[{"kind": "review", "id": "CHG-1"}]'
    made.perdure(
        "playbooks", "publish", created["name"], "--digest", created["digest"], "--evidence-refs-json", evidence
    )
    made.perdure("sessions", "create", "s")
    which = ["--playbook-id", name, "--version", "1.0.0", "--digest", created["digest"], "--session-id", "s"]
    told = made.perdure("flows", "start", *which, "--idempotency-key", key, *inputs, "-o", "json", code=code, **keys)
    return json.loads(told) if told else None


def test_nobody_without_a_key_reads_what_work_is_given_and_leaves(sealed: Site) -> None:
    path = str(sealed.folder / "keys.json")
    keys = {"PERDURE_ENCRYPTION_KEYS": path}
    flags = ("--functions", str(sealed.folder / "functions.py"), "--queue", "default", "--queue", "other")
    sealed.work(*flags, PERDURE_EXECUTOR_ENCRYPTION_KEYS=path)
    child = json.loads(CHILD)
    start(sealed, json.dumps(child), "--input", f"item={PLAIN['an item']}", key="child", **keys)
    given = ["--content", PLAIN["a request's content"], "--input", "count=3"]
    for name in ("name", "token"):
        given += ["--input", f"{name}={PLAIN['an input' if name == 'name' else 'a secret input']}"]

    flow = start(sealed, SEALED, *given, **keys)
    assert (
        start(sealed, SEALED, *given, **keys)["name"] == flow["name"]
    )  # the same request, encrypted anew, is the same
    sealed.perdure("flows", "watch", flow["name"], "--until", "held", code=9)
    (approval,) = (json.loads(line) for line in sealed.perdure("approvals", "list", "-o", "json").splitlines())
    shown = sealed.perdure("approvals", "show", approval["name"], **keys)
    assert PLAIN["an output"] in shown
    assert PLAIN["an input"] in shown
    assert "encrypted://" in sealed.perdure("approvals", "show", approval["name"])
    content = json.dumps({"said": PLAIN["a decision's content"]})
    sealed.perdure("approvals", "decide", approval["name"], "--edit", content, "--reason", CANARY, "--yes", **keys)
    sealed.perdure("flows", "watch", flow["name"], "--until", "held", code=9)
    (question,) = (json.loads(line) for line in sealed.perdure("approvals", "list", "-o", "json").splitlines())
    assert PLAIN["a question"] in sealed.perdure("approvals", "show", question["name"], **keys)
    assert "encrypted://" in sealed.perdure("approvals", "show", question["name"])
    said = json.dumps({"said": PLAIN["an answer"]})
    sealed.perdure("approvals", "decide", question["name"], "--provide", said, "--yes", **keys)
    run = flow["root_run"]
    sealed.perdure("runs", "signal", run, "payment", "--json", json.dumps({"by": PLAIN["a signal"]}), **keys)

    sealed.perdure("flows", "watch", flow["name"], **keys)

    told = sealed.perdure("runs", "events", run, "-o", "json", **keys)
    sealed.perdure("runs", "events", run, "-o", "json")
    sealed.perdure("runs", "export", "--all", "--to", str(sealed.folder / "runs.jsonl"))
    sealed.search("the export of runs", (sealed.folder / "runs.jsonl").read_bytes())
    sealed.perdure("verify", "--all")
    printed = read_tasks(sealed, **keys)
    sealed.search.sqlite(sealed.folder / "data")
    sealed.close()
    sealed.search.sqlite(sealed.folder / "data")
    assert printed == f"{PLAIN['what a command prints']}\n{PLAIN['an input']}\n"
    assert "encrypted://" not in told.replace("encrypted:\\/\\/", "")
    assert sealed.search.found == []
    assert {"perdure runs events", "the export of runs", "the table run_events"} <= sealed.search.canaries


def read_tasks(made: Site, **keys: str) -> str:
    """What the one command has printed."""
    (task,) = (json.loads(line) for line in made.perdure("tasks", "list", "s", "-o", "json").splitlines())
    return made.perdure("tasks", "output", task["name"], **keys)


ECHO = head(
    "echo", function("give", "give", inputs={"it": "{{ inputs.name }}"}), inputs=SCHEMA, sensitive_inputs=["token"]
)


def failure(made: Site, flow: Any) -> tuple[str, str]:
    """The cause and the message of a run's end."""
    made.perdure("flows", "watch", flow["name"], code=8)
    lines = made.perdure("runs", "events", flow["root_run"], "-o", "json").splitlines()
    (ended,) = [event["run_ended"] for line in lines if "run_ended" in (event := json.loads(line)["event"])]
    return ended["cause"].removeprefix("FAILURE_CAUSE_"), ended["message"]


def test_an_executor_without_the_key_fails_its_node_and_names_the_key(sealed: Site) -> None:
    path = str(sealed.folder / "keys.json")
    (key,) = json.loads(sealed.perdure("encryption", "list", path, "-o", "json"))["keys"]
    sealed.work("--functions", str(sealed.folder / "functions.py"))

    flow = start(sealed, ECHO, "--input", f"name={PLAIN['an input']}", PERDURE_ENCRYPTION_KEYS=path)

    cause, message = failure(sealed, flow)
    assert cause == "CANNOT_DECRYPT"
    assert (
        f"the key {key['id']}, which is not there: add it to the file that its setting encryption_keys names" in message
    )


def test_an_input_that_does_not_fit_fails_before_anything_begins(sealed: Site) -> None:
    path = str(sealed.folder / "keys.json")
    sealed.work("--functions", str(sealed.folder / "functions.py"), PERDURE_EXECUTOR_ENCRYPTION_KEYS=path)

    flow = start(sealed, ECHO, "--input", f"nam={PLAIN['an input']}", PERDURE_ENCRYPTION_KEYS=path)

    cause, message = failure(sealed, flow)
    assert cause == "INPUT_INVALID"
    assert message.startswith("the run's input is not what its playbook takes: ")
    assert PLAIN["an input"] not in message


def test_what_was_encrypted_before_a_rotation_is_read_after_it_and_not_by_who_has_the_new_key_alone(
    sealed: Site,
) -> None:
    path, other = sealed.folder / "keys.json", sealed.folder / "other.json"
    sealed.work("--functions", str(sealed.folder / "functions.py"), PERDURE_EXECUTOR_ENCRYPTION_KEYS=str(path))
    flow = start(sealed, ECHO, "--input", f"name={PLAIN['an input']}", PERDURE_ENCRYPTION_KEYS=str(path))
    sealed.perdure("flows", "watch", flow["name"])
    before = json.loads(sealed.perdure("encryption", "list", str(path), "-o", "json"))["keys"][0]["id"]

    sealed.perdure("encryption", "rotate", str(path))
    sealed.perdure("encryption", "create", str(other))

    told = sealed.perdure("runs", "events", flow["root_run"], "-o", "json", PERDURE_ENCRYPTION_KEYS=str(path))
    stored = sealed.perdure("runs", "events", flow["root_run"], "-o", "json", PERDURE_ENCRYPTION_KEYS=str(other))
    assert "encrypted://" not in told
    (sealed.folder / "text").write_text(f"it is {stored_value(stored)}\n")
    sealed.perdure("encryption", "decrypt", str(sealed.folder / "text"), "--keys", str(other), code=1)
    opened = sealed.perdure("encryption", "decrypt", str(sealed.folder / "text"), "--keys", str(path), PRINTS="a value")
    assert opened == f"it is {PLAIN['an input']}\n"
    assert f"encrypted://{before}/" in stored_value(stored)


def stored_value(events: str) -> str:
    """What is stored of the input."""
    given = [json.loads(line)["event"] for line in events.splitlines()]
    (stored,) = [event["run_input"]["json"] for event in given if "run_input" in event]
    return str(json.loads(base64.b64decode(stored))["name"])


def test_a_concurrency_key_cannot_be_made_of_what_is_encrypted(sealed: Site) -> None:
    document = json.loads(ECHO) | {"concurrency": {"key": "{{ inputs.name }}", "limit": 1}}
    path = str(sealed.folder / "keys.json")

    start(sealed, json.dumps(document), "--input", f"name={PLAIN['an input']}", code=2, PERDURE_ENCRYPTION_KEYS=path)

    assert start(sealed, json.dumps(document), "--input", "name=x")["name"]
