"""Branches of a run are done side by side, and an executor that takes over goes on with those that are left."""

import asyncio
import json
import pathlib
from typing import Any

from perdure.v1 import fact_events_pb2, flows_pb2, runs_pb2

LOOK_SECONDS = 0.02

MEETING = """
playbook_id: meeting
version: 1.0.0
title: Meeting
objective: Two that wait for each other, and one that waits for both
nodes:
  - {id: left, type: function, function: meet, effect: none, inputs: {name: left}}
  - {id: right, type: function, function: meet, effect: none, inputs: {name: right}}
  - {id: join, type: function, function: look, effect: none, depends: [left, right],
     inputs: {left: "{{ nodes.left.met }}", right: "{{ nodes.right.met }}", last: "{{ met }}"}}
"""

FORK = """
playbook_id: fork
version: 1.0.0
title: Fork
objective: Do two things, one of which lasts
nodes:
  - {id: begin, type: deterministic, shell: true, command: echo begin >> did, effect: none}
  - {id: quick, type: deterministic, shell: true, command: echo quick >> did, effect: at_most_once, depends: [begin]}
  - id: slow
    type: deterministic
    shell: true
    command: echo slow >> did; while [ ! -e go ]; do sleep 0.05; done
    effect: EFFECT
    depends: [begin]
  - {id: join, type: deterministic, shell: true, command: echo join >> did, effect: at_most_once, depends: [quick, slow]}
"""


async def events_of(service: Any, flow: flows_pb2.Flow) -> list[Any]:
    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    return [recorded.event for recorded in listed.events]


async def test_branches_run_at_the_same_time_and_their_join_sees_both(serve: Any, hire: Any, violations: Any) -> None:
    barrier = asyncio.Barrier(2)

    async def meet(call: Any) -> dict[str, str]:
        async with barrier:
            return {"met": call.inputs["name"]}

    async def look(call: Any) -> dict[str, Any]:
        return dict(call.inputs)

    service = await serve()
    await hire(service, {"meet": meet, "look": look})

    ended = await service.settled(await service.start(MEETING))

    outputs = [event.node_output.json for event in await events_of(service, ended) if event.HasField("node_output")]
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []
    assert json.loads(outputs[-1]) == {"left": "left", "right": "right", "last": "right"}


def _settled(node: str) -> Any:
    return lambda recorded: (
        recorded.event.HasField("node_settled") and recorded.event.node_settled.instance.path[-1].node == node
    )


def _lines(did: pathlib.Path) -> list[str]:
    return sorted(did.read_text().split()) if did.exists() else []


def _let_go(folder: pathlib.Path) -> None:
    (folder / "go").touch()


async def _killed_in_the_fork(serve: Any, employ: Any, did: pathlib.Path, effect: str) -> tuple[Any, flows_pb2.Flow]:
    """A run whose first executor was killed after `quick` and in the middle of `slow`."""
    service = await serve(lease_seconds=1.5, heartbeat_seconds=0.4, stall_allowance_seconds=0.5)
    first = employ(service, "first")
    flow = await service.start(FORK.replace("EFFECT", effect))
    await service.until(flow, _settled("quick"))
    while "slow" not in _lines(did):  # noqa: ASYNC110  # a shell tells nobody that it has begun
        await asyncio.sleep(LOOK_SECONDS)
    first.kill()
    _let_go(did.parent)
    employ(service, "second")
    return service, flow


async def test_a_takeover_in_the_middle_of_a_fork_goes_on_with_the_branch_that_is_left(
    serve: Any, employ: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    service, flow = await _killed_in_the_fork(serve, employ, tmp_path / "did", "none")

    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []
    assert _lines(tmp_path / "did") == ["begin", "join", "quick", "slow", "slow"]


async def test_an_effect_that_a_lost_executor_left_in_one_branch_is_answered_before_the_join(
    serve: Any, employ: Any, tmp_path: pathlib.Path, violations: Any
) -> None:
    service, flow = await _killed_in_the_fork(serve, employ, tmp_path / "did", "at_most_once")
    await service.until(flow, lambda recorded: recorded.event.HasField("lease_revoked"))

    recovery = await service.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=flow.root_run))
    (doubted,) = recovery.in_doubt
    request = runs_pb2.ResolveEffectRequest(
        name=flow.root_run,
        instance=doubted.instance,
        resolution=fact_events_pb2.RESOLUTION_KIND_DONE,
        report_sequence=doubted.report_sequence,
    )
    await service.runs.ResolveEffect(request)
    ended = await service.settled(flow)

    assert (list(recovery.done), doubted.instance) == (["begin:1#1", "quick:1#1"], "slow:1#1")
    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    assert await violations(service, ended.root_run) == []
    assert _lines(tmp_path / "did") == ["begin", "join", "quick", "slow"]
