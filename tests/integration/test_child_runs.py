"""A playbook that starts others: what they are given and leave, and what becomes of them when it stops."""

import asyncio
import json
import pathlib
from typing import Any

from perdure.v1 import flows_pb2, instances_pb2, playbooks_pb2, run_states_pb2, runs_pb2
from tests.families import LOOK_SECONDS, runs_of, tree_violations

CHILD = """
playbook_id: child
version: 1.0.0
title: A child
objective: Say what it was given
inputs: {type: object, properties: {word: {type: string}}, required: [word]}
nodes:
  - {id: say, type: function, function: say, effect: none, inputs: {word: "{{ word }}"}, on_failure: {max_iterations: 1}}
"""

PARENT = """
playbook_id: parent
version: 1.0.0
title: A parent
objective: Have something said
nodes:
  - {id: first, type: playbook, playbook_id: child, version: 1.0.0, inputs: {word: "{{ inputs.word }}"},
     on_failure: {max_iterations: 2}}
  - {id: then, type: function, function: look, effect: none, inputs: {said: "{{ nodes.first.said }}"}, depends: [first]}
"""

LASTING = """
playbook_id: child
version: 1.0.0
title: A child
objective: Last until it is let go
nodes:
  - {id: stay, type: deterministic, shell: true, command: "echo up >> did; while [ ! -e go ]; do sleep 0.05; done",
     effect: none}
  - {id: last, type: deterministic, command: printf, args: ['{"done": true}'], output: json, effect: none}
"""

FAMILY = """
playbook_id: parent
version: 1.0.0
title: A parent
objective: Have it done
nodes:
  - {id: child, type: playbook, playbook_id: child, version: 1.0.0}
"""


MAPPED = """
playbook_id: parent
version: 1.0.0
title: A parent
objective: Have several things said
nodes:
  - {id: each, type: map, items: inputs.word, max_parallel: 3,
     node: {type: playbook, playbook_id: child, version: 1.0.0, inputs: {word: "{{ item }}"}}}
  - {id: then, type: function, function: look, effect: none, inputs: {said: "{{ results }}"}, depends: [each]}
"""


def word(text: object) -> flows_pb2.FlowRequest:
    return flows_pb2.FlowRequest(input=json.dumps({"word": text}).encode())


async def settlement(service: Any, flow: flows_pb2.Flow) -> Any:
    """How the parent's first node ended last."""
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run, page_size=500))
    return [one.event.node_settled for one in listed.events if one.event.HasField("node_settled")][-1]


async def told(service: Any, flow: flows_pb2.Flow) -> list[Any]:
    """Ends of children that the parent was told of."""
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run, page_size=500))
    facts = [one.event.fact_recorded for one in listed.events]
    return [fact.child_ended for fact in facts if fact.HasField("child_ended")]


async def test_a_child_is_given_its_input_and_its_output_is_the_nodes(serve: Any, hire: Any) -> None:
    seen: list[Any] = []

    async def say(call: Any) -> dict[str, str]:
        return {"said": call.inputs["word"] + "!"}

    async def look(call: Any) -> None:
        seen.append(call.inputs["said"])

    service = await serve()
    await service.publish(CHILD)
    await hire(service, {"say": say, "look": look})

    ended = await service.settled(await service.start(PARENT, request=word("hello")))

    parent, child = await runs_of(service, ended)
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert seen == ["hello!"]
    assert (child.parent_run, child.session == parent.session) == (parent.name, False)
    assert await tree_violations(service, ended) == []


async def test_a_map_over_children_has_what_each_leaves_in_the_order_of_its_list(serve: Any, hire: Any) -> None:
    seen: list[Any] = []

    async def say(call: Any) -> dict[str, str]:
        return {"said": call.inputs["word"] + "!"}

    async def look(call: Any) -> None:
        seen.append(call.inputs["said"])

    service = await serve()
    await service.publish(CHILD)
    await hire(service, {"say": say, "look": look})

    words = ["a", "b", "c", "d"]
    ended = await service.settled(await service.start(MAPPED, request=word(words)))

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert seen == [[{"said": f"{one}!"} for one in words]]
    assert len(await runs_of(service, ended)) == 5
    assert await tree_violations(service, ended) == []


async def test_the_children_of_a_map_that_fails_are_stopped(serve: Any, hire: Any) -> None:
    begun = asyncio.Event()

    async def say(call: Any) -> None:
        if call.inputs["word"] == "bad":
            await begun.wait()
            raise RuntimeError
        begun.set()
        await asyncio.Event().wait()

    service = await serve()
    await service.publish(CHILD)
    await hire(service, {"say": say})

    ended = await service.settled(await service.start(MAPPED, request=word(["good", "bad"])))
    while len(await told(service, ended)) < 2:  # noqa: ASYNC110  # no follower is told of the stopped child's end
        await asyncio.sleep(LOOK_SECONDS)

    _, *children = await runs_of(service, ended)
    states = sorted(run_states_pb2.RunState.Name(child.state) for child in children)
    assert ended.failure_cause == instances_pb2.FAILURE_CAUSE_ITEM_FAILED
    assert states == ["RUN_STATE_CANCELLED", "RUN_STATE_FAILED"]
    assert await tree_violations(service, ended) == []


async def test_a_child_that_fails_fails_its_node_and_another_attempt_is_another_child(serve: Any, hire: Any) -> None:
    async def say(call: Any) -> None:
        raise RuntimeError

    service = await serve()
    await service.publish(CHILD)
    await hire(service, {"say": say})

    ended = await service.settled(await service.start(PARENT, request=word("hello")))

    parent, *children = await runs_of(service, ended)
    last = await settlement(service, ended)
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_FAILED"
    assert parent.failure_cause == instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED
    assert len(children) == 2
    assert (last.cause, last.instance.attempt) == (instances_pb2.FAILURE_CAUSE_CHILD_FAILED, 2)
    assert last.child.run_id in {child.name.removeprefix("runs/") for child in children}
    assert last.child.cause == instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED
    assert await tree_violations(service, ended) == []


async def test_a_child_is_not_begun_with_what_its_playbook_does_not_take(serve: Any, hire: Any) -> None:
    service = await serve()
    await service.publish(CHILD)
    await hire(service)

    ended = await service.settled(await service.start(PARENT, request=word(1)))

    assert ended.failure_cause == instances_pb2.FAILURE_CAUSE_INPUT_INVALID
    assert len(await runs_of(service, ended)) == 1


async def test_a_child_of_a_revoked_playbook_fails_its_node_and_not_its_executor(serve: Any, hire: Any) -> None:
    service = await serve()
    version = await service.publish(CHILD)
    flow = await service.start(PARENT, request=word("hello"))
    revoking = playbooks_pb2.RevokePlaybookVersionRequest(name=version.name, digest=version.digest, reason="unsafe")
    await service.playbooks.RevokePlaybookVersion(revoking)
    await hire(service)

    ended = await service.settled(flow)

    assert ended.failure_cause == instances_pb2.FAILURE_CAUSE_CHILD_REFUSED
    assert "REVOKED" in ended.failure_message


async def test_a_child_whose_node_has_a_time_limit_is_ended_by_it_though_nobody_holds_it(serve: Any, hire: Any) -> None:
    waiting = CHILD.partition("nodes:")[0] + "nodes: [{id: stay, type: wait, signal: never}]"
    service = await serve()
    await service.publish(waiting)
    await hire(service, {"look": None})

    limited = PARENT.replace("max_iterations: 2}", "max_iterations: 2}, timeout_seconds: 0.2")
    ended = await service.settled(await service.start(limited, request=word("hello")))

    parent, *children = await runs_of(service, ended)
    last = await settlement(service, ended)
    assert parent.failure_cause == instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED
    assert [child.state for child in children] == [run_states_pb2.RUN_STATE_TIMED_OUT] * 2
    assert (last.cause, last.instance.attempt) == (instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT, 2)
    assert last.child.cause == instances_pb2.FAILURE_CAUSE_DEADLINE
    assert await tree_violations(service, ended) == []


async def lasting(serve: Any, employ: Any, folder: pathlib.Path) -> tuple[Any, flows_pb2.Flow, Any]:
    """A parent whose child has begun to last, at an executor that is a process."""
    service = await serve(lease_seconds=1.5, heartbeat_seconds=0.4, stall_allowance_seconds=0.5)
    await service.publish(LASTING)
    executor = employ(service, "first")
    flow = await service.start(FAMILY)
    while not (folder / "did").exists():  # noqa: ASYNC110  # a shell tells nobody that it has begun
        await asyncio.sleep(LOOK_SECONDS)
    return service, flow, executor


async def test_a_child_goes_on_at_another_executor_and_its_parent_with_it(
    serve: Any, employ: Any, tmp_path: pathlib.Path
) -> None:
    service, flow, executor = await lasting(serve, employ, tmp_path)

    executor.kill()
    employ(service, "second")
    (tmp_path / "go").touch()
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert (tmp_path / "did").read_text() == "up\nup\n"
    assert await tree_violations(service, ended) == []


async def test_a_cancel_of_the_flow_ends_the_commands_of_its_children(
    serve: Any, employ: Any, tmp_path: pathlib.Path, running_below: Any
) -> None:
    service, flow, _ = await lasting(serve, employ, tmp_path)

    await service.flows.CancelFlow(flows_pb2.CancelFlowRequest(name=flow.name))
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_CANCELLED"
    assert {run.state for run in await runs_of(service, ended)} == {run_states_pb2.RUN_STATE_CANCELLED}
    assert await tree_violations(service, ended) == []
    while any("did" in command for command in running_below(tmp_path)):  # noqa: ASYNC110  # the system tells nobody
        await asyncio.sleep(LOOK_SECONDS)
