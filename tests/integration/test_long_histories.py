"""Long logs: who goes on with a run is sent a snapshot and what came after it, and not the log from its beginning."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from typing import Any

import grpc.aio

from perdure.runlog.instances import Instance, Step
from perdure.v1 import (
    execution_pb2,
    execution_pb2_grpc,
    instances_pb2,
    node_events_pb2,
    run_events_pb2,
    run_states_pb2,
    runs_pb2,
)
from perdure.v1.execution_pb2 import WorkRequest
from perdure.v1.run_events_pb2 import RunEvent

LINES = 400
LOOK_SECONDS = 0.02
EFFECT = instances_pb2.EFFECT_NONE

PLAYBOOK = """
playbook_id: long
version: 1.0.0
title: Long
objective: Say much, and go on elsewhere
nodes:
  - {id: a, type: function, function: say, effect: none}
  - {id: b, type: function, function: ask, effect: none, inputs: {said: "{{ nodes.a.said }}"}}
"""


def much() -> list[RunEvent]:
    """The first node: it begins, says much, and ends with an output; then the run is given back."""
    where = Instance((Step("a", 1),), 1).message()
    succeeded = instances_pb2.OUTCOME_SUCCEEDED
    return [
        RunEvent(node_started=node_events_pb2.NodeStarted(instance=where, effect=EFFECT)),
        *[RunEvent(log_line=run_events_pb2.LogLine(instance=where, text=f"line {line}")) for line in range(LINES)],
        RunEvent(node_output=node_events_pb2.NodeOutput(instance=where, json=b'{"said":"much"}')),
        RunEvent(node_settled=node_events_pb2.NodeSettled(instance=where, effect=EFFECT, outcome=succeeded)),
        RunEvent(lease_returned=run_events_pb2.LeaseReturned(cause=run_events_pb2.RETURN_CAUSE_DRAINING)),
    ]


async def play_the_first_node(service: Any, stack: AsyncExitStack) -> str:
    """An executor of which only what it says matters. Returns the run."""
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(service.address))
    call = execution_pb2_grpc.ExecutionServiceStub(channel).Work()
    stack.callback(call.cancel)
    versions = execution_pb2.VersionRange(lowest=1, highest=1)
    hello = execution_pb2.Hello(
        executor_id="x", incarnation="x-1", protocol=versions, fold=versions, queues=["default"], slots=1
    )
    await call.write(WorkRequest(hello=hello))
    await call.write(WorkRequest(credits=execution_pb2.Credits(free=1)))
    while not (response := await call.read()).assignments:
        pass
    (run,) = response.assignments
    await call.write(WorkRequest(assignment_acks=[execution_pb2.AssignmentAck(number=run.number)]))
    batch = execution_pb2.EventBatch(run_id=run.run_id, lease_id=run.lease_id, first_ordinal=1, events=much())
    await call.write(WorkRequest(batches=[batch]))
    while not (response := await call.read()).answers:
        pass
    assert response.answers[0].HasField("ack"), response
    return str(run.run_id)


async def snapshot_of(service: Any, run_id: str) -> int:
    """The sequence of a run's snapshot, when there is one."""
    query = "SELECT sequence FROM run_snapshots WHERE run_id = ?"
    with closing(sqlite3.connect(service.data_dir / "perdure.db")) as database:
        while (found := database.execute(query, (run_id,)).fetchone()) is None:  # noqa: ASYNC110  # nobody is told of it
            await asyncio.sleep(LOOK_SECONDS)
        return int(found[0])


async def test_a_run_goes_on_from_its_snapshot_and_its_first_events_are_read_by_nobody(
    serve: Any, hire: Any, stack: AsyncExitStack
) -> None:
    service = await serve(snapshot_events=100)
    flow = await service.start(PLAYBOOK)
    run_id = await play_the_first_node(service, stack)
    sequence = await snapshot_of(service, run_id)
    with sqlite3.connect(service.data_dir / "perdure.db") as database:
        database.execute("UPDATE run_events SET event = x'ff' WHERE sequence < 100")
    database.close()
    heard = []

    async def ask(call: Any) -> None:
        heard.append(dict(call.inputs))

    await hire(service, {"say": ask, "ask": ask})
    rest = runs_pb2.WatchRunRequest(name=flow.root_run, after_sequence=sequence)
    events = [item.event.event async for item in service.runs.WatchRun(rest) if item.HasField("event")]

    assert sequence >= LINES
    assert (events[-1].run_ended.state, heard) == (run_states_pb2.RUN_STATE_COMPLETED, [{"said": "much"}])
