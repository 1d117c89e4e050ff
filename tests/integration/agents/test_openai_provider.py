"""The OpenAI provider, over HTTP, against a server on loopback that speaks as OpenAI's does."""

import json
import pathlib
from typing import Any

import pytest

from perdure.v1 import flows_pb2, instances_pb2, runs_pb2

ASK = """
playbook_id: ask
version: 1.0.0
title: Ask
objective: Ask a model about a work tree
nodes:
  - id: ask
    type: agentic
    agent: reader
    provider: openai
    model: test-model
    prompt: What is in the work tree?
    tools: [list_files]
    on_failure: {max_iterations: 1}
"""


async def test_a_model_of_openai_calls_the_tools_it_is_given_and_answers(
    serve: Any, hire: Any, replies: Any, tmp_path: pathlib.Path
) -> None:
    work_tree = tmp_path / "tree"
    work_tree.mkdir()
    (work_tree / "orrery.txt").write_text("planets")
    replies.calls("list_files")
    replies.says(content="There is an orrery.")
    service = await serve()
    await hire(service, providers=("openai",), workspace=work_tree)

    ended = await service.settled(await service.start(ASK))

    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=ended.root_run))
    events = [recorded.event for recorded in listed.events]
    output = next(json.loads(event.node_output.json) for event in events if event.HasField("node_output"))
    usage = {"requests": 2, "tool_calls": 1, "input_tokens": 14, "output_tokens": 6}
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert output == {"text": "There is an orrery.", "usage": usage}
    assert [tool["function"]["name"] for tool in replies.asked[0]["tools"]] == ["list_files"]
    assert "orrery.txt" in replies.asked[1]["messages"][-1]["content"]
    assert set(replies.keys) == {"Bearer sk-on-loopback"}
    assert b"sk-on-loopback" not in b"".join(event.SerializeToString() for event in events)


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (401, "Incorrect API key provided: sk-on*****ack", "did not accept the key in OPENAI_API_KEY"),
        (404, "The model does not exist", "openai answered 404 for the model 'test-model': The model does not exist"),
    ],
)
async def test_a_refusal_by_openai_fails_the_node_and_says_why_without_the_key(
    serve: Any, hire: Any, replies: Any, status: int, said: str, told: str
) -> None:
    replies.refuses(status, said)
    service = await serve()
    await hire(service, providers=("openai",))

    ended = await service.settled(await service.start(ASK))

    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=ended.root_run))
    settled = next(at.event.node_settled for at in listed.events if at.event.HasField("node_settled"))
    assert settled.cause == instances_pb2.FAILURE_CAUSE_AGENT
    assert told in settled.message
    assert "sk-on" not in settled.message
