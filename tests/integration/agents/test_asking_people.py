"""An agent asks a person in the middle of its work, over HTTP to a server that speaks as OpenAI's does."""

import json
from typing import Any

import pytest

from perdure.v1 import approvals_pb2, flows_pb2, runs_pb2
from perdure.v1.decisions_pb2 import DECISION_KIND_PROVIDED, DECISION_KIND_REJECTED, DECISION_KIND_SELECTED
from tests.integration.asking import answer, asked, events

ASK = """
playbook_id: ask
version: 1.0.0
title: Ask
objective: Ask a model, which asks a person
nodes:
  - id: ask
    type: agentic
    agent: planner
    provider: openai
    model: test-model
    prompt: Plan a journey.
    tools: [ask_person]
"""


@pytest.mark.parametrize(
    ("question", "said", "told"),
    [
        ({}, {"decision": DECISION_KIND_PROVIDED, "content": b'"Bergen"'}, {"answer": "Bergen"}),
        ({"options": ["a", "b"]}, {"decision": DECISION_KIND_SELECTED, "selected_option": "2"}, {"answer": "b"}),
        (
            {},
            {"decision": DECISION_KIND_REJECTED, "reason": "find out"},
            {"unanswered": "REJECTED", "message": "anonymous does not answer: find out"},
        ),
    ],
)  # fmt: skip
async def test_an_agent_goes_on_with_what_a_person_answers_and_asks_its_model_nothing_twice(
    serve: Any, hire: Any, replies: Any, violations: Any,
    question: dict[str, Any], said: dict[str, Any], told: dict[str, str],
) -> None:  # fmt: skip
    replies.calls("ask_person", question="Where to?", **question)
    replies.says(content="There it goes.")
    service = await serve()
    await hire(service, providers=("openai",))
    flow = await service.start(ASK)
    approval = await asked(service, flow)
    await service.until(flow, lambda recorded: recorded.event.HasField("run_paused"))

    await answer(service, approval, **said)
    ended = await service.settled(flow)

    assert approval.prompt == "Where to?"
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert len(replies.asked) == 2
    assert "People answer" in replies.asked[0]["messages"][0]["content"]
    assert json.loads(replies.asked[1]["messages"][-1]["content"]) == told
    outputs = [json.loads(one.node_output.json) for one in await events(service, flow) if one.HasField("node_output")]
    assert outputs[-1]["text"] == "There it goes."
    assert await violations(service, flow.root_run) == []


async def test_an_agent_asks_one_question_after_the_other(serve: Any, hire: Any, replies: Any) -> None:
    functions = [{"name": "ask_person", "arguments": json.dumps({"question": which})} for which in ("Where?", "When?")]
    calls = [{"id": f"call_{n}", "type": "function", "function": one} for n, one in enumerate(functions)]
    replies.says(tool_calls=calls)
    replies.says(content="There and then.")
    service = await serve()
    await hire(service, providers=("openai",))
    flow = await service.start(ASK)

    first = await asked(service, flow)
    await answer(service, first, decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    second = await asked(service, flow, 2)
    await answer(service, second, decision=DECISION_KIND_PROVIDED, content=b'"May"')
    await service.settled(flow)

    assert (first.prompt, second.prompt) == ("Where?", "When?")
    assert [json.loads(one["content"])["answer"] for one in replies.asked[1]["messages"][-2:]] == ["Bergen", "May"]
    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    assert run.failure_message == ""


async def test_an_agent_that_may_not_ask_is_not_offered_to(serve: Any, hire: Any, replies: Any) -> None:
    replies.says(content="Alone.")
    service = await serve()
    await hire(service, providers=("openai",))

    await service.settled(await service.start(ASK.replace("ask_person", "list_files")))

    assert [tool["function"]["name"] for tool in replies.asked[0]["tools"]] == ["list_files"]
    assert "Nobody answers" in replies.asked[0]["messages"][0]["content"]
    assert not (await service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals
