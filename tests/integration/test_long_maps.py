"""Maps over more items than one run has: they go in shards, and are one map to whoever reads them."""

import asyncio
import json
from itertools import accumulate
from typing import Any

from perdure.v1 import flows_pb2, instances_pb2, run_events_pb2, runs_pb2
from tests.families import events_of, runs_of, tree_violations

LONG = """
playbook_id: long
version: 1.0.0
title: Long
objective: Have many things done
nodes:
  - id: each
    type: map
    items: inputs.numbers
    max_parallel: 40
    on_item_failure: %s
    node:
      type: function
      function: double
      effect: none
      inputs: {n: "{{ item }}", at: "{{ item_index }}", more: "{{ more }}"}
      on_failure: {max_iterations: 1}
  - {id: then, type: function, function: look, effect: none, depends: [each],
     inputs: {results: "{{ results }}", errors: "{{ errors }}"}}
"""


def numbers(count: int) -> flows_pb2.FlowRequest:
    given = {"numbers": list(range(count)), "more": 1, "unread": "x"}
    return flows_pb2.FlowRequest(input=json.dumps(given).encode())


def most_under_way(log: list[run_events_pb2.RunEvent]) -> int:
    """How many attempts of a run were under way at a time."""
    under_way = accumulate(event.HasField("node_started") - event.HasField("node_settled") for event in log)
    return max(under_way)


async def test_a_long_list_is_done_in_shards_and_its_results_are_in_its_order(serve: Any, hire: Any) -> None:
    seen: list[Any] = []
    all_under_way = asyncio.Event()
    begun = 0

    async def double(call: Any) -> dict[str, int]:
        nonlocal begun
        begun += 1
        if begun == 40:
            all_under_way.set()
        await all_under_way.wait()
        if call.inputs["n"] in (7, 203):
            raise RuntimeError("no")
        return {"n": call.inputs["n"] * 2, "at": call.inputs["at"]}

    async def look(call: Any) -> None:
        seen.append(call.inputs)

    service = await serve()
    for name in ("one", "two"):
        await hire(service, {"double": double, "look": look}, name=name, slots=2)
    flow = await service.settled(await service.start(LONG % "continue", request=numbers(220)))

    _, *shards = await runs_of(service, flow)
    logs = [await events_of(service, shard.name) for shard in shards]
    given = [json.loads(event.run_input.json) for log in logs for event in log if event.HasField("run_input")]
    assert flows_pb2.Flow.Status.Name(flow.status) == "STATUS_SUCCEEDED"
    assert [one and one["at"] for one in seen[0]["results"]] == [None if n in (7, 203) else n for n in range(220)]
    assert [error["index"] for error in seen[0]["errors"]] == [7, 203]
    assert sorted(shard.part_instance for shard in shards) == ["each[0]:1#1", "each[100]:1#1", "each[200]:1#1"]
    assert [set(one) for one in given] == [{"more", "[items]"}] * 3
    assert sum(map(most_under_way, logs)) == 40
    assert {e.lease_granted.executor_id for log in logs for e in log if e.HasField("lease_granted")} == {"one", "two"}
    assert await tree_violations(service, flow) == []


async def test_a_failure_that_is_one_too_many_begins_no_other_shard_and_a_continue_does_what_was_left(
    serve: Any, hire: Any
) -> None:
    done: list[int] = []
    mended = False

    async def double(call: Any) -> dict[str, int]:
        if call.inputs["n"] == 120 and not mended:
            raise RuntimeError("no")
        done.append(call.inputs["n"])
        return {"n": call.inputs["n"]}

    async def look(call: Any) -> None:
        assert [one["n"] for one in call.inputs["results"]] == list(range(230))

    service = await serve()
    await hire(service, {"double": double, "look": look})
    flow = await service.settled(await service.start(LONG % "fail", request=numbers(230)))
    root, *failed = await runs_of(service, flow)
    before, mended = list(done), True

    continued = runs_pb2.ContinueRunRequest(
        name=root.name, answers_sequence=root.ended_sequence, reopen=root.failed_instance, extra_attempts=1
    )
    await service.runs.ContinueRun(continued)
    ended = await service.settled(flow)

    assert root.failure_cause == instances_pb2.FAILURE_CAUSE_ITEM_FAILED
    assert "each[120]:1#1 failed: FUNCTION_RAISED" in root.failure_message
    assert (len(failed), max(before) < 200) == (2, True)
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert sorted(done) == list(range(230))
    assert await tree_violations(service, flow) == []
