"""A playbook runs end to end: real gRPC, real SQLite, real processes."""

import pathlib
from typing import Any

from perdure.v1 import flows_pb2, instances_pb2, runs_pb2, tasks_pb2
from perdure_executor.node_context import NodeFailure

GREETING = """
playbook_id: greeting
version: 1.0.0
title: Greeting
objective: Greet somebody and write it down
inputs:
  type: object
  properties: {who: {type: string}}
  required: [who]
nodes:
  - {id: greet, type: function, function: greet, effect: none, inputs: {who: "{{ who }}"}}
  - {id: say, type: deterministic, command: printf, args: ["%s\\n", "{{ greeting }}"], effect: none}
"""

DIVIDING = """
playbook_id: dividing
version: 1.0.0
title: Dividing
objective: Call what fails
nodes:
  - {id: divide, type: function, function: divide, effect: none, on_failure: {max_iterations: 0}}
"""


async def greet(call: Any) -> dict[str, str]:
    return {"greeting": f"good morning, {call.inputs['who']}"}


async def test_a_function_and_a_command_run_to_completion(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service, {"greet": greet})

    flow = await service.start(GREETING, request=flows_pb2.FlowRequest(input=b'{"who": "Ada"}'))
    ended = await service.settled(flow)

    assert flows_pb2.Flow.Status.Name(ended.status) == "STATUS_SUCCEEDED"
    tasks = await service.tasks.ListTasks(tasks_pb2.ListTasksRequest(parent="sessions/s"))
    request = tasks_pb2.ReadTaskOutputRequest(name=tasks.tasks[0].name)
    assert [piece.content async for piece in service.tasks.ReadTaskOutput(request)] == [b"good morning, Ada\n"]


async def divide(call: Any) -> None:
    raise ValueError("open-sesame\nis no number")


async def test_what_a_function_raises_is_told_by_kind_and_place_and_its_text_is_a_line_of_the_log(
    serve: Any, hire: Any
) -> None:
    service = await serve()
    await hire(service, {"divide": divide})
    flow = await service.start(DIVIDING)

    await service.settled(flow)

    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    events = [recorded.event for recorded in listed.events]
    (failed,) = [event.node_settled for event in events if event.HasField("node_settled")]
    assert failed.cause == instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED
    assert failed.message.startswith("ValueError in divide, line ")
    telling = [event.WhichOneof("kind") for event in events if b"open-sesame" in event.SerializeToString()]
    assert telling == ["log_line"]


async def test_a_function_that_fails_on_purpose_says_why_to_everybody(serve: Any, hire: Any) -> None:
    def divide(call: Any) -> None:
        raise NodeFailure("there is nothing to divide")

    service = await serve()
    await hire(service, {"divide": divide})
    flow = await service.start(DIVIDING)

    ended = await service.settled(flow)

    run = await service.runs.GetRun(runs_pb2.GetRunRequest(name=ended.root_run))
    assert run.failure_message == "there is nothing to divide"


RAISING = """
def divide(call):
    secret = "swordfish"
    return deeper(len(secret) - 9)

def deeper(nothing):
    return 1 // nothing

FUNCTIONS = {"divide": divide}
"""


async def test_where_a_function_raised_is_in_its_executors_log_without_the_values_of_variables(
    serve: Any, employ: Any, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "raising.py").write_text(RAISING)
    service = await serve()
    executor = employ(service, "raising", "--functions", str(tmp_path / "raising.py"))

    await service.settled(await service.start(DIVIDING))

    (raised,) = [line for line in executor.log_lines() if line["event"] == "function.raised"]
    assert 'raising.py", line 4, in divide' in raised["frames"]
    assert 'raising.py", line 7, in deeper' in raised["frames"]
    assert raised["error"] == "ZeroDivisionError"
    assert "swordfish" not in str(raised)


async def test_watching_a_run_gives_every_event_once_and_ends_with_it(serve: Any, hire: Any) -> None:
    service = await serve()
    await hire(service, {"greet": greet})
    flow = await service.start(GREETING, request=flows_pb2.FlowRequest(input=b'{"who": "Ada"}'))

    watched = service.runs.WatchRun(runs_pb2.WatchRunRequest(name=flow.root_run))
    sequences = [item.event.sequence async for item in watched if item.HasField("event")]

    listed = await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))
    assert sequences == list(range(1, len(sequences) + 1))
    assert [recorded.sequence for recorded in listed.events] == sequences
    assert listed.events[-1].event.HasField("run_ended")
