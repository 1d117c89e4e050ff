"""Nodes that are done in another queue: what reads them, and what is kept of them, is as if they were done in place."""

import asyncio
import json
import pathlib
from typing import Any

from perdure.v1 import fact_events_pb2, flows_pb2, instances_pb2, runs_pb2
from tests.families import events_of, runs_of, tree_violations

ELSEWHERE = """
playbook_id: elsewhere
version: 1.0.0
title: Elsewhere
objective: Have one thing done where there is room for it
inputs: {type: object, properties: {word: {type: string}}, required: [word]}
nodes:
  - {id: first, type: function, function: say, effect: none, inputs: {word: "{{ inputs.word }}"}}
  - id: heavy
    type: deterministic
    command: sh
    args: ["-c", "while [ ! -e go ]; do sleep 0.05; done; echo {{ nodes.first.said }}, {{ said }}"]
    effect: idempotent
    queue: gpu
    labels: [large]
    depends: [first]
    ensures: {fields: [stdout], exit_code: 0}
  - {id: then, type: function, function: look, effect: none, depends: [heavy],
     inputs: {printed: "{{ nodes.heavy.stdout }}", code: "{{ exit_code }}"}}
required_evidence:
  - {kind: task, id: heavy}
"""

AGAIN = """
playbook_id: again
version: 1.0.0
title: Again
objective: Have something tried again elsewhere
nodes:
  - {id: shaky, type: function, function: shaky, effect: at_most_once, queue: gpu, inputs: {last: "{{ last_error }}"},
     on_failure: {max_iterations: 3}, retry: {initial_seconds: 0.01, jitter: 0}}
  - {id: wrong, type: function, function: fails, effect: none, queue: gpu, depends: [shaky],
     on_failure: {max_iterations: 1}}
  - {id: then, type: function, function: look, effect: none, inputs: {why: "{{ last_error }}"}}
error_handlers:
  - {on: [ITERATION_CAP_EXCEEDED], nodes: [wrong], action: go_to, to: then}
"""

ITEMS = """
playbook_id: items
version: 1.0.0
title: Items
objective: Have a whole map done elsewhere
nodes:
  - {id: first, type: function, function: numbers, effect: none}
  - {id: each, type: map, items: "nodes.first.found.filter(n, n > 1)", queue: gpu, depends: [first],
     on_item_failure: continue,
     node: {type: function, function: halve, effect: none, inputs: {n: "{{ item }}", at: "{{ item_index }}"}}}
  - {id: then, type: function, function: look, effect: none, depends: [each],
     inputs: {results: "{{ results }}", failed: "{{ nodes.each.errors }}"}}
"""


def word(text: str) -> flows_pb2.FlowRequest:
    return flows_pb2.FlowRequest(input=json.dumps({"word": text}).encode())


async def status(service: Any, flow: flows_pb2.Flow) -> str:
    return flows_pb2.Flow.Status.Name((await service.settled(flow)).status)


async def test_a_node_of_another_queue_is_done_by_its_executor_and_by_the_next_where_that_is_killed(
    serve: Any, hire: Any, employ: Any, tmp_path: pathlib.Path
) -> None:
    seen: list[Any] = []

    async def say(call: Any) -> dict[str, str]:
        return {"said": call.inputs["word"] + "!"}

    async def look(call: Any) -> None:
        seen.append(call.inputs)

    service = await serve(lease_seconds=2, heartbeat_seconds=0.5)
    await hire(service, {"say": say, "look": look})
    killed = employ(service, "first", "--queue", "gpu", "--label", "large")
    flow = await service.start(ELSEWHERE, request=word("hello"))
    await service.until(flow, lambda recorded: recorded.event.node_started.command == "sh")
    killed.kill()
    (tmp_path / "go").touch()
    employ(service, "second", "--queue", "gpu", "--label", "large", "--label", "more")

    ended = await service.settled(flow)

    root, part = await runs_of(service, ended)
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert seen == [{"printed": "hello!, hello!\n", "code": 0}]
    assert (part.parent_run, part.part_instance, part.queue, list(part.labels)) == (
        root.name,
        "heavy:1#1",
        "gpu",
        ["large"],
    )
    assert len(ended.primitive_refs.tasks) == 2
    assert await tree_violations(service, flow) == []


async def test_a_part_is_given_what_its_node_reads_and_nothing_else(serve: Any, hire: Any) -> None:
    service = await serve()

    async def say(call: Any) -> dict[str, str]:
        return {"said": "so", "kept": "back"}

    await hire(service, {"say": say})
    flow = await service.start(ELSEWHERE, request=word("hello"))
    paused = await service.until(flow, lambda recorded: recorded.event.HasField("run_paused"))

    _, part = await runs_of(service, flow)
    why = await service.runs.ExplainRun(runs_pb2.ExplainRunRequest(name=f"runs/{paused.run_id}"))
    given = next(e.run_input.json for e in await events_of(service, part.name) if e.HasField("run_input"))
    assert json.loads(given) == {"said": "so", "nodes": {"first": {"said": "so"}}}
    assert [(one.WhichOneof("reason"), one.part_run) for one in why.reasons] == [("child", ""), ("unserved", part.name)]
    assert why.reasons[1].unserved.queue == "gpu"


async def test_a_part_that_fails_is_tried_again_and_taken_as_its_node_would_be_in_place(serve: Any, hire: Any) -> None:
    seen: list[Any] = []
    keys: set[str] = set()

    async def shaky(call: Any) -> None:
        seen.append((call.attempt, call.inputs["last"] and call.inputs["last"]["cause"]))
        keys.add(call.idempotency_key)
        if call.attempt < 3:
            raise RuntimeError("not yet")

    async def fails(call: Any) -> None:
        raise RuntimeError("never")

    async def look(call: Any) -> None:
        seen.append(call.inputs["why"]["cause"])

    service = await serve()
    await hire(service, {"look": look})
    await hire(service, {"shaky": shaky, "fails": fails}, queues=["gpu"], name="gpu")
    flow = await service.start(AGAIN)

    assert await status(service, flow) == "STATUS_SUCCEEDED"

    settled = [e.node_settled for e in await events_of(service, flow.root_run) if e.HasField("node_settled")]
    assert seen == [(1, None), (2, "FUNCTION_RAISED"), (3, "FUNCTION_RAISED"), "FUNCTION_RAISED"]
    assert len(keys) == 1
    assert [one.cause for one in settled if one.outcome == instances_pb2.OUTCOME_FAILED] == [
        instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED
    ] * 3
    assert len(await runs_of(service, flow)) == 5
    assert await tree_violations(service, flow) == []


async def test_a_whole_map_is_done_in_another_queue(serve: Any, hire: Any) -> None:
    seen: list[Any] = []

    async def numbers(call: Any) -> dict[str, list[int]]:
        return {"found": [1, 2, 3, 4]}

    async def halve(call: Any) -> dict[str, Any]:
        if call.inputs["n"] == 3:
            raise RuntimeError("odd")
        return {"at": call.inputs["at"], "half": call.inputs["n"] // 2}

    async def look(call: Any) -> None:
        seen.append(call.inputs)

    service = await serve()
    await hire(service, {"numbers": numbers, "look": look})
    await hire(service, {"halve": halve}, queues=["gpu"], name="gpu")
    flow = await service.start(ITEMS)

    assert await status(service, flow) == "STATUS_SUCCEEDED"

    assert seen[0]["results"] == [{"at": 0, "half": 1}, None, {"at": 2, "half": 2}]
    assert [error["index"] for error in seen[0]["failed"]] == [1]
    assert await tree_violations(service, flow) == []


async def test_a_retry_of_an_effect_in_doubt_of_a_part_has_a_new_key_which_further_attempts_keep(
    serve: Any, hire: Any
) -> None:
    begun, keys = asyncio.Event(), list[str]()

    async def shaky(call: Any) -> None:
        keys.append(call.idempotency_key)
        if len(keys) == 1:
            begun.set()
            await asyncio.Event().wait()
        if len(keys) == 2:
            raise RuntimeError("not yet")

    service = await serve()
    await hire(service, {"look": nothing})
    await hire(service, {"shaky": shaky, "fails": nothing}, queues=["gpu"], name="gpu")
    flow = await service.start(AGAIN)
    await begun.wait()
    await service.runs.InterruptRun(runs_pb2.InterruptRunRequest(name=flow.root_run, reason="so"))
    root, part = [await ended(service, run) for run in await runs_of(service, flow)]

    continued = runs_pb2.ContinueRunRequest(name=root.name, answers_sequence=root.ended_sequence)
    await service.runs.ContinueRun(continued)
    await service.until(
        flow, lambda recorded: recorded.run_id in part.name and recorded.event.HasField("run_continued")
    )
    retry = fact_events_pb2.RESOLUTION_KIND_RETRY
    await service.runs.ResolveEffect(
        runs_pb2.ResolveEffectRequest(name=part.name, instance="shaky:1#1", resolution=retry)
    )

    assert await status(service, flow) == "STATUS_SUCCEEDED"
    assert [keys.count(key) for key in dict.fromkeys(keys)] == [1, 2]
    assert await tree_violations(service, flow) == []


async def nothing(call: Any) -> None:
    """A function that has nothing to do."""


async def ended(service: Any, run: runs_pb2.Run) -> runs_pb2.Run:
    """Follows a run to its end and returns it as it is then."""
    async for _ in service.runs.WatchRun(runs_pb2.WatchRunRequest(name=run.name)):
        pass
    found: runs_pb2.Run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=run.name))
    return found
