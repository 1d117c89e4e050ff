"""The work stream as its other side sees it: an executor that a test plays, message by message."""

import sqlite3
from typing import Any

import grpc.aio
import pytest

from perdure.runlog.instances import Instance, Step
from perdure.v1 import (
    execution_pb2,
    fact_events_pb2,
    instances_pb2,
    node_events_pb2,
    run_events_pb2,
    run_states_pb2,
    runs_pb2,
)
from perdure.v1.execution_pb2 import WorkResponse
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from tests.integration.played import heartbeat

PLAYBOOK = """
playbook_id: line
version: 1.0.0
title: A line
objective: Walk it
nodes:
  - {id: a, type: function, function: noop, effect: none}
  - {id: b, type: function, function: noop, effect: at_most_once}
"""


async def test_a_process_that_comes_back_goes_on_and_what_overlaps_is_stored_once(serve: Any, play: Any) -> None:
    service = await serve()
    flow = await service.start(PLAYBOOK)
    before = await play(service)
    run = await before.take()
    await before.append(run, 1, _started("a"))

    after = await play(service)
    answer = await after.append(run, 1, _started("a"), _settled("a"))

    assert answer.ack.ordinal == 2
    assert (await _kinds(service, flow))[3:] == ["node_started", "node_settled"]


async def test_the_older_stream_of_a_process_ends_at_its_nextheartbeat(serve: Any, play: Any) -> None:
    service = await serve()
    before = await play(service)
    await play(service)

    await before.say(heartbeat=execution_pb2.Heartbeat(number=1))

    await before.ended()


async def test_a_heartbeat_is_acknowledged_by_its_number_and_names_what_is_not_held_here(serve: Any, play: Any) -> None:
    service = await serve()
    await service.start(PLAYBOOK)
    executor = await play(service)
    run = await executor.take()
    strange = execution_pb2.Assignment(run_id=run.run_id, lease_id="another")

    answers = await executor.beat(7, run, strange)

    assert [(answer.lease_id, answer.WhichOneof("answer")) for answer in answers] == [("another", "rejected")]


async def test_a_run_whose_log_its_plan_does_not_allow_can_be_looked_at_and_cancelled(serve: Any, play: Any) -> None:
    service = await serve()
    flow = await service.start(PLAYBOOK)
    executor = await play(service)
    run = await executor.take()
    await executor.append(run, 1, _started("nowhere"))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.runs.GetRecovery(runs_pb2.GetRecoveryRequest(name=flow.root_run))
    shown = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    await service.runs.CancelRun(runs_pb2.CancelRunRequest(name=flow.root_run))

    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert f"{run.run_id}@4" in str(refused.value.details())
    assert shown.last_sequence == 4


async def test_a_run_that_is_not_held_any_more_goes_to_the_next(serve: Any, play: Any) -> None:
    service = await serve()
    flow = await service.start(PLAYBOOK)
    first = await play(service)
    run = await first.take()
    await first.append(run, 1, _started("a"))

    await first.beat(1)
    again = await (await play(service, "y")).take()

    assert again.run_id == run.run_id
    assert (await _kinds(service, flow))[-2:] == ["lease_revoked", "lease_granted"]


async def test_a_run_that_nobody_confirms_goes_to_the_next(serve: Any, play: Any) -> None:
    service = await serve(assignment_ack_seconds=0.2, sweep_seconds=0.1)
    await service.start(PLAYBOOK)
    deaf = await play(service)
    await deaf.say(credits=execution_pb2.Credits(free=1))

    run = await (await play(service, "y")).take()

    assert run.run_id


async def test_a_fact_reaches_its_holder_and_again_on_the_next_stream(serve: Any, play: Any) -> None:
    service = await serve(stop_grace_seconds=300)
    flow = await service.start(PLAYBOOK)
    before = await play(service)
    run = await before.take()

    await service.runs.InterruptRun(runs_pb2.InterruptRunRequest(name=flow.root_run))
    (told,) = (await before.hear(lambda response: bool(response.deliveries))).deliveries
    after = await play(service)
    await after.say(heartbeat=heartbeat(1, run))
    (again,) = (await after.hear(lambda response: bool(response.deliveries))).deliveries

    assert [fact.event.WhichOneof("kind") for fact in told.facts] == ["stop_requested"]
    assert again.facts == told.facts


async def test_a_run_that_ends_and_the_one_in_its_place_share_a_commit_and_a_message(serve: Any, play: Any) -> None:
    service = await serve()
    flows = [await service.start(PLAYBOOK, key=key) for key in ("1", "2")]
    executor = await play(service)
    run = await executor.take()
    await executor.append(run, 1, _started("a"), _settled("a"), _started("b", "AT_MOST_ONCE"))
    end = RunEvent(run_ended=run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_COMPLETED))
    events = [_settled("b", "AT_MOST_ONCE"), end]
    batch = execution_pb2.EventBatch(run_id=run.run_id, lease_id=run.lease_id, first_ordinal=4, events=events)

    await executor.say(batches=[batch], credits=execution_pb2.Credits(free=1, last_assignment=1))
    told = await executor.hear(lambda response: bool(response.answers))

    ended, granted = [(await _events(service, flow))[-1] for flow in flows]
    assert (ended.event.WhichOneof("kind"), granted.event.WhichOneof("kind")) == ("run_ended", "lease_granted")
    assert ended.stored_time == granted.stored_time
    assert told.answers[0].ack.ordinal == 5
    assert [run.run_id for run in told.assignments] == [flows[1].root_run.removeprefix("runs/")]


BREAK = {
    "log": "UPDATE run_events SET event = x'ff' WHERE run_id = ? AND sequence = 1",
    "plan": "UPDATE plans SET plan = x'ff' WHERE digest = (SELECT plan_digest FROM runs WHERE run_id = ?)",
}


@pytest.mark.parametrize("part", list(BREAK))
async def test_a_run_that_cannot_be_read_is_held_and_the_next_one_comes(serve: Any, play: Any, part: str) -> None:
    service = await serve(takeover_limit=2)
    broken = (await service.start(PLAYBOOK)).root_run.removeprefix("runs/")
    sound = (await service.start(PLAYBOOK.replace("line", "another"), key="sound")).root_run.removeprefix("runs/")
    with sqlite3.connect(service.data_dir / "perdure.db") as database:
        database.execute(BREAK[part], (broken,))
    database.close()
    executor = await play(service)
    given: list[execution_pb2.Assignment] = []

    def wanted(response: WorkResponse) -> bool:
        given.extend(response.assignments)
        return response.HasField("heartbeat_ack")

    states = []
    for number in range(1, 20):
        kept = [run for run in given if run.run_id == sound]
        credits = execution_pb2.Credits(free=2 - len(kept), last_assignment=given[-1].number if given else 0)
        acks = [execution_pb2.AssignmentAck(number=run.number) for run in given]
        await executor.say(credits=credits, assignment_acks=acks, heartbeat=heartbeat(number, *kept))
        await executor.hear(wanted)
        shown = await service.runs.GetRun(runs_pb2.GetRunRequest(name=f"runs/{broken}"))
        states.append(shown.state)
        if kept and shown.state == run_states_pb2.RUN_STATE_PAUSED:
            break

    assert states[-1] == run_states_pb2.RUN_STATE_PAUSED, states
    assert [run.run_id for run in given].count(sound) == 1


async def test_a_run_that_cannot_be_told_of_takes_no_room(serve: Any, play: Any) -> None:
    service = await serve(takeover_limit=1)
    broken = await service.start(PLAYBOOK)
    with sqlite3.connect(service.data_dir / "perdure.db") as database:
        database.execute(BREAK["plan"], (broken.root_run.removeprefix("runs/"),))
    database.close()
    executor = await play(service)
    await executor.say(credits=execution_pb2.Credits(free=1))
    await service.until(broken, lambda recorded: recorded.event.fact_recorded.HasField("hold_placed"))

    await executor.say(credits=execution_pb2.Credits(free=1))
    sound = await service.start(PLAYBOOK.replace("line", "another"), key="sound")
    (given,) = (await executor.hear(lambda response: bool(response.assignments))).assignments

    assert (given.number, f"runs/{given.run_id}") == (1, sound.root_run)


async def test_credits_that_have_not_seen_the_last_assignment_are_not_given_twice(serve: Any, play: Any) -> None:
    service = await serve()
    for key in ("1", "2"):
        await service.start(PLAYBOOK, key=key)
    executor = await play(service)
    run = await executor.take()

    await executor.say(credits=execution_pb2.Credits(free=1, last_assignment=0))
    heard: list[WorkResponse] = []
    for number in range(1, 6):
        await executor.say(heartbeat=heartbeat(number, run))
        heard.append(
            await executor.hear(lambda response: response.HasField("heartbeat_ack") or bool(response.assignments))
        )

    assert not any(response.assignments for response in heard)


async def test_a_server_that_ends_streams_says_so_first_and_their_runs_go_on(serve: Any, play: Any) -> None:
    service = await serve(stream_age_seconds=0.5, drain_notice_seconds=0)
    flow = await service.start(PLAYBOOK)
    old = await play(service)
    run = await old.take()

    await old.hear(lambda response: response.HasField("drain"))
    await old.ended()
    answer = await (await play(service)).append(run, 1, _started("a"))

    assert answer.ack.ordinal == 1
    assert "lease_revoked" not in await _kinds(service, flow)


async def test_a_late_report_over_the_stream_is_kept_and_settles_nothing(serve: Any, play: Any) -> None:
    service = await serve()
    flow = await service.start(PLAYBOOK)
    fenced = await play(service)
    run = await fenced.take()
    await fenced.append(run, 1, _started("a"), _settled("a"), _started("b", "AT_MOST_ONCE"))
    await fenced.beat(1)
    said = fact_events_pb2.LateReported(lease_id=run.lease_id, outcome=instances_pb2.OUTCOME_SUCCEEDED)

    report = execution_pb2.LateReport(run_id=run.run_id, instance=_place("b"), report=said)
    await fenced.say(late_reports=[report, report])
    await service.until(flow, lambda recorded: recorded.event.fact_recorded.HasField("late_report"))

    shown = await service.runs.GetRun(runs_pb2.GetRunRequest(name=flow.root_run))
    assert shown.effects_in_doubt == 1
    assert (await _kinds(service, flow)).count("fact_recorded") == 1


async def test_an_executor_that_was_told_more_than_the_store_knows_is_believed(serve: Any, play: Any) -> None:
    service = await serve()
    flow = await service.start(PLAYBOOK)
    executor = await play(service)
    run = await executor.take()
    lost = execution_pb2.StoreWentBack(run_id=run.run_id, lease_id=run.lease_id, acknowledged_ordinal=3)

    await executor.say(went_back=[lost])
    await service.until(flow, lambda recorded: recorded.event.fact_recorded.HasField("hold_placed"))

    assert (await play(service)).welcome.generation == executor.welcome.generation + 1


def _place(node: str) -> instances_pb2.Instance:
    return Instance((Step(node, 1),), 1).message()


def _started(node: str, effect: str = "NONE") -> RunEvent:
    effect_number = instances_pb2.Effect.Value(f"EFFECT_{effect}")
    return RunEvent(node_started=node_events_pb2.NodeStarted(instance=_place(node), effect=effect_number))


def _settled(node: str, effect: str = "NONE") -> RunEvent:
    effect_number = instances_pb2.Effect.Value(f"EFFECT_{effect}")
    settled = node_events_pb2.NodeSettled(
        instance=_place(node), effect=effect_number, outcome=instances_pb2.OUTCOME_SUCCEEDED
    )
    return RunEvent(node_settled=settled)


async def _events(service: Any, flow: Any) -> list[RecordedEvent]:
    return list((await service.runs.ListRunEvents(runs_pb2.ListRunEventsRequest(name=flow.root_run))).events)


async def _kinds(service: Any, flow: Any) -> list[str | None]:
    return [recorded.event.WhichOneof("kind") for recorded in await _events(service, flow)]
