"""Work that asks people before it goes on: its run waits as at a hold point, and it begins again with the answer."""

import asyncio
import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from perdure.v1 import approvals_pb2, flows_pb2, instances_pb2, runs_pb2
from perdure.v1.decisions_pb2 import (
    DECISION_KIND_APPROVED,
    DECISION_KIND_PROVIDED,
    DECISION_KIND_REJECTED,
    DECISION_KIND_SELECTED,
)
from perdure.v1.run_states_pb2 import RUN_STATE_COMPLETED, RUN_STATE_EXPIRED, RUN_STATE_FAILED
from perdure_executor.asking import Unanswered
from tests.integration.asking import answer, asked, events, outputs_of, printed
from tests.integration.test_bad_input import refusal_of


def asking(effect: str = "none", **fields: Any) -> str:
    node = {"id": "ask", "type": "function", "function": "ask", "effect": effect, **fields}
    show = {
        "id": "show",
        "type": "deterministic",
        "command": "echo",
        "args": ["{{ nodes.ask.place }}"],
        "effect": "none",
    }
    head = {"playbook_id": "asking", "version": "1.0.0", "title": "Asking", "objective": "Ask"}
    return json.dumps({**head, "nodes": [node, show]})


async def run_of(service: Any, flow: flows_pb2.Flow) -> Any:
    return await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))


def where(call: Any) -> dict[str, Any]:
    return {"place": call.ask("Which place?", schema={"type": "string", "minLength": 2})}


async def where_awaited(call: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"place": call.ask("Which place?", schema={"type": "string", "minLength": 2})}


@pytest.mark.parametrize("function", [where, where_awaited])
@pytest.mark.parametrize("effect", ["none", "at_most_once"])
async def test_what_a_person_answers_is_what_the_function_goes_on_with(
    serve: Any, hire: Any, violations: Any, function: Callable[..., Any], effect: str
) -> None:
    service = await serve()
    await hire(service, {"ask": function})
    flow = await service.start(asking(effect))
    question = await asked(service, flow)

    waiting = await service.flows.GetFlow(flows_pb2.GetFlowRequest(name=flow.name))
    await answer(service, question, decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    await service.settled(flow)

    assert waiting.status == flows_pb2.Flow.STATUS_WAITING
    shown = json.loads(question.subject)
    assert (shown["prompt"], shown["kind"], shown["allowed"]) == ("Which place?", "input", ["provided", "rejected"])
    assert shown["effects"] == [{"effect": effect, "node": "ask"}]
    outputs = await outputs_of(service, flow)
    assert outputs[1] == {"place": "Bergen"}
    assert (await run_of(service, flow)).state == RUN_STATE_COMPLETED
    assert await violations(service, flow.root_run) == []


async def test_nobody_holds_the_run_while_people_think_and_any_executor_goes_on(
    serve: Any, hire: Any, employ: Any, tmp_path: Any
) -> None:
    (tmp_path / "asks.py").write_text("FUNCTIONS = {'ask': lambda call: {'place': call.ask('Which place?')}}")
    service = await serve()
    first = employ(service, "first", "--functions", str(tmp_path / "asks.py"))
    flow = await service.start(asking())
    question = await asked(service, flow)
    await service.until(flow, lambda recorded: recorded.event.HasField("run_paused"))
    first.kill()

    await answer(service, question, decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    await hire(service, {"ask": lambda call: {"place": call.ask("Which place?")}})
    await service.settled(flow)

    assert (await run_of(service, flow)).state == RUN_STATE_COMPLETED


async def test_an_option_is_selected_and_further_questions_follow_one_another(
    serve: Any, hire: Any, violations: Any
) -> None:
    calls = []

    def ask(call: Any) -> dict[str, Any]:
        calls.append(call.attempt)
        side = call.ask("Which side?", options={"l": "Left", "r": "Right"}, name="side")
        return {"place": f"{side} {call.ask('How far?', schema={'type': 'integer'})}"}

    service = await serve()
    await hire(service, {"ask": ask})
    flow = await service.start(asking())
    side = await asked(service, flow)
    await answer(service, side, decision=DECISION_KIND_SELECTED, selected_option="r")
    far = await asked(service, flow, 2)

    with pytest.raises(grpc.aio.AioRpcError) as unfit:
        await answer(service, far, decision=DECISION_KIND_PROVIDED, content=b'"far"')
    await answer(service, far, decision=DECISION_KIND_PROVIDED, content=b"7")
    await service.settled(flow)

    assert json.loads(side.subject)["options"] == [{"id": "l", "label": "Left"}, {"id": "r", "label": "Right"}]
    assert refusal_of(unfit.value).fields == ["content"]
    assert calls == [1, 2, 3]
    assert await printed(service, flow) == [b"r 7\n"]
    assert await violations(service, flow.root_run) == []


@pytest.mark.parametrize("reason", ["REJECTED", "EXPIRED", "WITHDRAWN"])
@pytest.mark.parametrize("caught", [True, False])
async def test_a_function_is_told_that_nobody_answers_and_fails_where_it_does_not_take_that(
    serve: Any, hire: Any, violations: Any, reason: str, caught: bool
) -> None:
    attempts = []

    def ask(call: Any) -> dict[str, Any]:
        attempts.append(call.attempt)
        try:
            return {"place": call.ask("Which place?", timeout=1 if reason == "EXPIRED" else 60)}
        except Unanswered as nobody:
            if not caught:
                raise
            return {"place": nobody.reason}

    service = await serve(sweep_seconds=0.1)
    await hire(service, {"ask": ask})
    flow = await service.start(asking(on_failure={"max_iterations": 3}))
    question = await asked(service, flow)

    if reason == "REJECTED":
        await answer(service, question, decision=DECISION_KIND_REJECTED, reason="no idea")
    elif reason == "WITHDRAWN":
        withdrawal = approvals_pb2.WithdrawApprovalRequest(name=question.name, reason="not needed")
        await service.approvals.WithdrawApproval(withdrawal)
    await service.settled(flow)

    run = await run_of(service, flow)
    said_so = await printed(service, flow)
    said = {"REJECTED": "no idea", "EXPIRED": "in time", "WITHDRAWN": "not needed"}[reason]
    if caught:
        assert (run.state, said_so) == (RUN_STATE_COMPLETED, [f"{reason}\n".encode()])
    else:
        assert run.state == (RUN_STATE_EXPIRED if reason == "EXPIRED" else RUN_STATE_FAILED)
        assert instances_pb2.FailureCause.Name(run.failure_cause) == f"FAILURE_CAUSE_APPROVAL_{reason}"
        assert said in run.failure_message
        assert attempts == [1, 2]
    assert await violations(service, flow.root_run) == []


async def test_where_nobody_answers_in_time_the_default_is_taken_and_says_so(serve: Any, hire: Any) -> None:
    def ask(call: Any) -> dict[str, Any]:
        return {"place": call.ask("Which side?", options=["left", "right"], default="left", timeout=1)}

    service = await serve(sweep_seconds=0.1)
    await hire(service, {"ask": ask})
    flow = await service.start(asking())

    question = await asked(service, flow)
    await service.settled(flow)

    after = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=question.name))
    assert after.automatic
    assert await printed(service, flow) == [b"left\n"]


async def test_a_run_that_is_stopped_while_it_asks_asks_again_when_it_goes_on(
    serve: Any, hire: Any, violations: Any
) -> None:
    service = await serve()
    await hire(service, {"ask": where})
    flow = await service.start(asking())
    first = await asked(service, flow)
    await service.until(flow, lambda recorded: recorded.event.HasField("run_paused"))

    ended = await service.runs.InterruptRun(runs_pb2.InterruptRunRequest(name=flow.root_run))
    closed = await service.approvals.GetApproval(approvals_pb2.GetApprovalRequest(name=first.name))
    continuing = runs_pb2.ContinueRunRequest(name=flow.root_run, answers_sequence=ended.ended_sequence)
    await service.runs.ContinueRun(continuing)
    again = await asked(service, flow, 2)
    await answer(service, again, decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    await service.settled(flow)

    assert closed.state == approvals_pb2.Approval.STATE_CLOSED
    assert again.name != first.name
    assert (await run_of(service, flow)).state == RUN_STATE_COMPLETED
    assert await violations(service, flow.root_run) == []


async def test_a_failure_after_an_answer_asks_nobody_again(serve: Any, hire: Any, violations: Any) -> None:
    failed = threading.Event()

    def ask(call: Any) -> dict[str, Any]:
        place = call.ask("Which place?")
        if not failed.is_set():
            failed.set()
            raise RuntimeError("a moment, please")
        return {"place": place}

    service = await serve()
    await hire(service, {"ask": ask})
    flow = await service.start(asking(on_failure={"max_iterations": 2}))
    question = await asked(service, flow)

    await answer(service, question, decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    await service.settled(flow)

    kinds = [event.WhichOneof("kind") for event in await events(service, flow)]
    assert kinds.count("wait_opened") == 1
    assert (await run_of(service, flow)).state == RUN_STATE_COMPLETED
    assert await violations(service, flow.root_run) == []


async def test_each_item_of_a_map_asks_for_itself(serve: Any, hire: Any, violations: Any) -> None:
    def ask(call: Any) -> dict[str, Any]:
        return {"said": call.ask(f"What of {call.inputs['one']}?")}

    inner = {"type": "function", "function": "ask", "effect": "none", "inputs": {"one": "{{ item }}"}}
    node = {"id": "each", "type": "map", "items": "inputs.of", "node": inner}
    head = {
        "playbook_id": "asking",
        "version": "1.0.0",
        "title": "Asking",
        "objective": "Ask",
        "inputs": {"type": "object"},
    }
    service = await serve()
    await hire(service, {"ask": ask})
    flow = await service.start(
        json.dumps({**head, "nodes": [node]}), request=flows_pb2.FlowRequest(input=b'{"of": ["a", "b"]}')
    )
    await asked(service, flow, 2)

    for listed in (await service.approvals.ListApprovals(approvals_pb2.ListApprovalsRequest())).approvals:
        get = approvals_pb2.GetApprovalRequest(name=listed.name)
        question = await service.approvals.GetApproval(get)
        await answer(service, question, decision=DECISION_KIND_PROVIDED, content=json.dumps(question.prompt).encode())
    await service.settled(flow)

    outputs = await outputs_of(service, flow)
    assert outputs[-1] == {"results": [{"said": "What of a?"}, {"said": "What of b?"}], "errors": []}
    assert await violations(service, flow.root_run) == []


async def test_a_question_that_cannot_be_asked_fails_its_node_and_says_what_is_wrong(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service, {"ask": lambda call: call.ask("Which?", assignees="role:reviewer")})
    flow = await service.start(asking())

    await service.settled(flow)

    run = await run_of(service, flow)
    assert run.state == RUN_STATE_FAILED
    assert run.failure_message == "assignees: is a list of texts"


@pytest.mark.parametrize("changed", [True, False])
async def test_what_was_approved_is_looked_at_again_when_work_begins_again_that_has_only_asked(
    serve: Any, hire: Any, violations: Any, tmp_path: pathlib.Path, changed: bool
) -> None:
    """The first attempt had an effect in its plan, and no more than asked."""
    (tmp_path / "plan.txt").write_text("first")
    gate = {"id": "read", "type": "approval", "prompt": "Apply it?", "artifacts": ["plan.txt"]}
    apply = {"id": "apply", "type": "function", "function": "ask", "effect": "at_most_once"}
    head = {"playbook_id": "asking", "version": "1.0.0", "title": "Asking", "objective": "Ask"}
    service = await serve()
    await hire(service, {"ask": where})
    flow = await service.start(json.dumps({**head, "nodes": [gate, apply]}))

    await answer(service, await asked(service, flow), decision=DECISION_KIND_APPROVED)
    question = await asked(service, flow, 2)
    if changed:
        (tmp_path / "plan.txt").write_text("second")
    await answer(service, question, decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    if changed:
        await answer(service, await asked(service, flow, 3), decision=DECISION_KIND_APPROVED)
        again = await asked(service, flow, 4)
        await answer(service, again, decision=DECISION_KIND_PROVIDED, content=b'"Oslo"')
    await service.settled(flow)

    told = await events(service, flow)
    assert [event.WhichOneof("kind") for event in told].count("approval_voided") == changed
    outputs = [json.loads(event.node_output.json) for event in told if event.HasField("node_output")]
    assert outputs[-1] == {"place": "Oslo" if changed else "Bergen"}
    assert await violations(service, flow.root_run) == []


async def in_a_group(call: Any) -> dict[str, Any]:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(where_awaited(call))
    return asked.result()


async def gathered(call: Any) -> dict[str, Any]:
    (found,) = await asyncio.gather(where_awaited(call), return_exceptions=True)
    return found if isinstance(found, dict) else {"place": "nobody was asked"}


def in_a_thread(call: Any) -> dict[str, Any]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(_quietly(call)))
    thread.start()
    thread.join()
    return found[0] or {"place": "nobody was asked"}


def _quietly(call: Any) -> Any:
    try:
        return where(call)
    except BaseException:  # noqa: BLE001  # the worst that a function may do
        return None


@pytest.mark.parametrize("function", [in_a_group, gathered, in_a_thread])
async def test_a_question_is_asked_whoever_keeps_what_ends_the_work_to_itself(
    serve: Any, hire: Any, violations: Any, function: Callable[..., Any]
) -> None:
    service = await serve()
    await hire(service, {"ask": function})
    flow = await service.start(asking())

    await answer(service, await asked(service, flow), decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    await service.settled(flow)

    assert await printed(service, flow) == [b"Bergen\n"]
    assert await violations(service, flow.root_run) == []


async def test_what_nobody_answered_is_asked_again_when_somebody_lets_the_run_go_on(
    serve: Any, hire: Any, violations: Any
) -> None:
    service = await serve(sweep_seconds=0.1)
    await hire(service, {"ask": lambda call: {"place": f"{call.ask('Which?')} {call.ask('When?')}"}})
    flow = await service.start(asking())
    await answer(service, await asked(service, flow), decision=DECISION_KIND_PROVIDED, content=b'"Bergen"')
    when = await asked(service, flow, 2)
    await answer(service, when, decision=DECISION_KIND_REJECTED, reason="later")
    await service.settled(flow)

    plan = await service.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=flow.root_run))
    continuing = runs_pb2.ContinueRunRequest(
        name=flow.root_run, answers_sequence=plan.answers_sequence, reopen=plan.reopens, extra_attempts=1
    )
    await service.runs.ContinueRun(continuing)
    again = await asked(service, flow, 3)
    await answer(service, again, decision=DECISION_KIND_PROVIDED, content=b'"May"')
    await service.settled(flow)

    assert again.prompt == "When?"
    said_so = await printed(service, flow)
    assert said_so == [b"Bergen May\n"]
    assert await violations(service, flow.root_run) == []


async def test_an_answer_that_is_none_to_what_is_asked_now_is_passed_over(serve: Any, hire: Any) -> None:
    asks: list[dict[str, Any]] = [{"options": ["left", "right"]}]
    service = await serve()
    await hire(service, {"ask": lambda call: {"place": call.ask("Which?", name="n", **asks[-1])}})
    flow = await service.start(asking())
    question = await asked(service, flow)

    asks.append({"schema": {"type": "integer"}})
    await answer(service, question, decision=DECISION_KIND_SELECTED, selected_option="left")
    await answer(service, await asked(service, flow, 2), decision=DECISION_KIND_PROVIDED, content=b"7")
    await service.settled(flow)

    assert await printed(service, flow) == [b"7\n"]
