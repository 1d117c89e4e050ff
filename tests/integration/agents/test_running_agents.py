"""Agents run end to end: real gRPC, real SQLite, the real agent loop, and the built-in model."""

import asyncio
import json
import pathlib
from typing import Any

import pytest

from perdure.v1 import flows_pb2, instances_pb2, run_events_pb2, runs_pb2

PHASES = """
playbook_id: survey
version: 1.0.0
title: Survey
objective: Say what a work tree holds
phases:
  - phase_id: look
    objective: Say what README.md promises
    acceptance_criteria: [every promise is named]
  - {phase_id: check, objective: Find every `gadget`}
"""

REVIEW = """
playbook_id: review
version: 1.0.0
title: Review
objective: Review a work tree with the results of its checks
nodes:
  - {id: test, type: deterministic, command: printf, args: ["12 passed"], effect: none}
  - id: judge
    type: agentic
    agent: reviewer
    depends: [test]
    prompt: "Review the tree. The tests said: {{ nodes.test.stdout }}"
    workspace: tree
  - {id: publish, type: function, function: publish, effect: none, depends: [judge], inputs: {text: "{{ text }}"}}
"""

SHORT_LEASES = {
    "lease_seconds": 4.0,
    "heartbeat_seconds": 0.5,
    "stall_allowance_seconds": 1.0,
    "sweep_seconds": 0.1,
}


@pytest.fixture
def work_tree(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "README.md").write_text("# Orrery\n\nTurns planets with one gadget.\n")
    (root / "pyproject.toml").write_text('[project]\nname = "orrery"\n')
    return root


async def events_of(service: Any, flow: flows_pb2.Flow) -> list[run_events_pb2.RunEvent]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    return [recorded.event for recorded in listed.events]


def kinds_at(events: list[run_events_pb2.RunEvent], node: str) -> list[str]:
    """What the log says of a node, in order: kinds of events, and the names of units."""
    said = []
    for event in events:
        kind = event.WhichOneof("kind") or ""
        body = getattr(event, kind)
        if "instance" in body.DESCRIPTOR.fields_by_name and body.instance.path[-1].node == node:
            said.append(event.unit_content.unit if kind == "unit_content" else kind)
    return said


def texts(events: list[run_events_pb2.RunEvent]) -> list[str]:
    return [json.loads(event.node_output.json)["text"] for event in events if event.HasField("node_output")]


async def test_a_playbook_of_phases_runs_to_completion_and_each_phase_reports_what_it_found(
    serve: Any, hire: Any, work_tree: pathlib.Path
) -> None:
    service = await serve()
    await hire(service, workspace=work_tree)

    ended = await service.settled(await service.start(PHASES))

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    first, second = texts(await events_of(service, ended))
    assert "> Say what README.md promises\n>\n> It is done when:\n> - every promise is named" in first
    assert "- README.md (41 bytes, 3 lines): “Orrery”" in first
    assert "“gadget” stands in 1 line of 1 file" in second


async def test_every_unit_of_an_agent_stands_in_the_log_before_the_node_is_settled(
    serve: Any, hire: Any, work_tree: pathlib.Path
) -> None:
    published: list[str] = []
    service = await serve()
    await hire(service, {"publish": lambda call: published.append(call.inputs["text"])})

    ended = await service.settled(await service.start(REVIEW))

    events = await events_of(service, ended)
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert kinds_at(events, "judge") == [
        "rendered_arguments",
        "node_started",
        "model.request#0",
        "call_tool:list_files#0",
        "model.request#1",
        "call_tool:read_file#0",
        "call_tool:read_file#1",
        "model.request#2",
        "call_tool:search_files#0",
        "model.request#3",
        "node_output",
        "node_settled",
    ]
    assert "> Review the tree. The tests said: 12 passed" in published[0]


async def test_a_model_that_the_built_in_provider_does_not_have_fails_the_run_and_is_not_tried_again(
    serve: Any, hire: Any
) -> None:
    service = await serve()
    await hire(service)

    ended = await service.settled(await service.start(PHASES + "runtime_defaults: {model: other}\n"))

    end = (await events_of(service, ended))[-1].run_ended
    assert end.cause == instances_pb2.FAILURE_CAUSE_PROVIDER_NOT_CONFIGURED
    assert "has no model 'other'" in end.message


ASK = """
playbook_id: ask
version: 1.0.0
title: Ask
objective: Ask a model about a file
nodes:
  - {id: ask, type: agentic, agent: reader, provider: openai, model: test-model, prompt: What does it say?}
"""


async def test_an_agent_whose_executor_is_killed_goes_on_at_another_after_its_last_unit(
    serve: Any, employ: Any, replies: Any, work_tree: pathlib.Path
) -> None:
    replies.calls("read_file", path="README.md")
    replies.holds()
    replies.says(content="It turns planets.")
    service = await serve(**SHORT_LEASES)
    flags = ("--provider", "openai", "--workspace", str(work_tree))
    lost = employ(service, "lost", *flags)
    flow = await service.start(ASK)
    await asyncio.to_thread(replies.held.wait)
    lost.kill()
    (work_tree / "README.md").unlink()  # what is recorded of it is all that the next executor knows
    employ(service, "next", *flags)

    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    events = await events_of(service, ended)
    begun = ["rendered_arguments", "node_started"]
    recorded = ["model.request#0", "call_tool:read_file#0"]
    assert kinds_at(events, "ask") == [*begun, *recorded, *begun, "model.request#1", "node_output", "node_settled"]
    assert texts(events) == ["It turns planets."]
    # The first request was made once. The second was under way, so it was made again, word for word.
    assert [len(asked["messages"]) for asked in replies.asked] == [2, 4, 4]
    assert replies.asked[2]["messages"] == replies.asked[1]["messages"]
    assert "Turns planets" in replies.asked[2]["messages"][-1]["content"]
