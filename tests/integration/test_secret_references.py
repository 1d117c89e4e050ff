"""A playbook names a secret, its executor resolves it, and everything between has the name alone."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import grpc
import pytest

from perdure.client.errors import call_failed
from perdure.v1 import flows_pb2, instances_pb2, runs_pb2

PROGRAM = pathlib.Path(sys.executable).with_name("perdure-server")
TOKEN, PASSWORD = "open-sesame-7", "hunter22-of-the-file"
LENGTHS = 'printf "%s %s %s" "${#TOKEN}" "${#PASSWORD}" "$(cat | wc -c)"'


def manifest(*nodes: dict[str, Any], **fields: Any) -> str:
    head = {"playbook_id": "one", "version": "1.0.0", "title": "One", "objective": "Use a secret"}
    return json.dumps({**head, "nodes": nodes, **fields})


def command(**fields: Any) -> dict[str, Any]:
    return {"id": "act", "type": "deterministic", "command": LENGTHS, "shell": True, "effect": "none", **fields}


def given(values: dict[str, Any]) -> flows_pb2.FlowRequest:
    return flows_pb2.FlowRequest(input=json.dumps(values).encode())


async def events_of(service: Any, flow: Any) -> list[Any]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    return [recorded.event for recorded in listed.events]


@pytest.fixture
def trusted(tmp_path: pathlib.Path, employ: Any) -> Any:
    """Starts an executor that may give playbooks one variable, and one file."""
    secrets = tmp_path / "secrets" / "database"
    secrets.mkdir(parents=True)
    (secrets / "password").write_text(f"{PASSWORD}\n")

    def start(service: Any) -> Any:
        allowed = {"PERDURE_EXECUTOR_SECRET_VARIABLES": "TOKEN", "PERDURE_EXECUTOR_SECRETS_DIR": str(secrets.parent)}
        return employ(service, "trusted", "--log-level", "debug", TOKEN=TOKEN, OTHER=TOKEN, **allowed)

    return start


async def test_a_command_is_given_secrets_and_the_log_has_their_names(serve: Any, trusted: Any) -> None:
    service = await serve()
    executor = trusted(service)
    env = {"TOKEN": "{{ inputs.token }}", "PASSWORD": "secret://file/database/password"}
    text = manifest(command(env=env, stdin="secret://env/TOKEN"), sensitive_inputs=["token"])

    flow = await service.settled(await service.start(text, request=given({"token": "secret://env/TOKEN"})))

    events = await events_of(service, flow)
    (output,) = [json.loads(event.node_output.json) for event in events if event.HasField("node_output")]
    assert output["stdout"] == f"{len(TOKEN)} {len(PASSWORD)} {len(TOKEN)}"
    (called,) = [json.loads(event.rendered_arguments.json) for event in events if event.HasField("rendered_arguments")]
    assert called["stdin"] == "secret://env/TOKEN"
    written = b"".join(event.SerializeToString() for event in events) + executor.logs.read_bytes()
    assert TOKEN.encode() not in written
    assert PASSWORD.encode() not in written


async def test_a_function_a_child_and_an_item_of_a_map_are_given_them(serve: Any, hire: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    seen: list[Any] = []

    async def use(call: Any) -> None:
        seen.append(call.inputs)

    service = await serve()
    await hire(service, {"use": use}, secret_variables="TOKEN")
    work = {"type": "function", "function": "use", "effect": "none"}
    child = manifest({"id": "a", **work, "inputs": {"t": "{{ inputs.token }}"}}, sensitive_inputs=["token"])
    await service.publish(child.replace('"one"', '"child"', 1))
    reference = "secret://env/TOKEN"
    text = manifest(
        {"id": "plain", **work, "inputs": {"t": [reference], "said": "{{ nodes_said }}"}},
        {"id": "below", "type": "playbook", "playbook_id": "child", "version": "1.0.0", "inputs": {"token": reference}},
        {"id": "each", "type": "map", "items": "[1]", "node": {**work, "inputs": {"t": reference, "n": "{{ item }}"}}},
    )

    flow = await service.settled(await service.start(text, request=given({"nodes_said": reference})))

    assert flow.status == flows_pb2.Flow.STATUS_SUCCEEDED
    # What an input or an output says is text, also where it looks like a reference.
    assert seen == [{"t": [TOKEN], "said": reference}, {"t": TOKEN}, {"t": TOKEN, "n": 1}]


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("secret://env/OTHER", "name OTHER in its setting secret_variables"),
        ("secret://file/database/missing", "cannot be read"),
    ],
)
async def test_a_secret_that_cannot_be_had_fails_its_node_before_anything_is_begun(
    serve: Any, trusted: Any, tmp_path: pathlib.Path, reference: str, why: str
) -> None:
    service = await serve()
    trusted(service)
    text = manifest(command(command="touch begun", effect="at_most_once", env={"A": reference}))

    flow = await service.settled(await service.start(text))

    (settled,) = [e.node_settled for e in await events_of(service, flow) if e.HasField("node_settled")]
    assert settled.cause == instances_pb2.FAILURE_CAUSE_SECRET_UNAVAILABLE
    assert settled.message.startswith(f"{reference}: ")
    assert why in settled.message
    assert not (tmp_path / "begun").exists()


async def test_a_secret_input_that_is_no_reference_starts_nothing_and_is_not_repeated(serve: Any) -> None:
    service = await serve()
    text = manifest(command(env={"A": "{{ inputs.db.password }}"}), sensitive_inputs=["db.password"])

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.start(text, request=given({"db": {"password": "hunter22"}}))

    refusal = call_failed(refused.value)
    assert refusal.reason == "FIELD_INVALID"
    assert [fault.field for fault in refusal.faults] == ["request.input.db.password"]
    assert "hunter22" not in str(refused.value)


async def test_a_child_whose_secret_input_is_no_reference_is_not_started(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service)
    child = manifest(command(), sensitive_inputs=["token"]).replace('"one"', '"child"', 1)
    await service.publish(child)
    below = {"id": "b", "type": "playbook", "playbook_id": "child", "version": "1.0.0", "inputs": {"token": "hunter22"}}

    flow = await service.settled(await service.start(manifest(below)))

    (ended,) = [event.run_ended for event in await events_of(service, flow) if event.HasField("run_ended")]
    assert ended.cause == instances_pb2.FAILURE_CAUSE_INPUT_INVALID
    assert "token is declared to be secret" in ended.message
    assert "hunter22" not in ended.message


def test_an_executor_whose_secret_variable_is_not_set_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_EXECUTOR_SECRET_VARIABLES", "NO_SUCH_VARIABLE")

    started = subprocess.run([PROGRAM, "executor"], capture_output=True, text=True, check=False)

    assert started.returncode == 2
    assert "NO_SUCH_VARIABLE is named in secret_variables, and is not set" in started.stderr
