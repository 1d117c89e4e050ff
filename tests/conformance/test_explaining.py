"""Why a run does not go on: every reason is read off facts, with the time at which it is looked at again."""

from typing import Any

import pytest
from sqlalchemy import select, update

from perdure.runlog.head import Hold, Stop
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.admission import Ack
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.explanation import (
    Ended,
    Explanation,
    Lack,
    NextAttempt,
    PendingStop,
    Place,
    Queued,
    Reason,
    UnderWay,
    UnresolvedEffect,
    Unserved,
)
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.ids import Principal, RunId
from perdure_control_plane.domain.inbox import Wait
from perdure_control_plane.domain.limits import QUEUE_POLL, SECOND
from perdure_control_plane.domain.queries import RunCondition, RunFilter
from perdure_control_plane.storage.tables import run_events
from perdure_control_plane.usecases.explain_run import explain_run
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.resolve_effect import Bounds, Resolution, resolve_effect
from perdure_control_plane.usecases.stop_run import stop_run
from tests.conformance.conftest import asked_id, place

ADA = Caller(Principal("ada"), authenticated=True)
AGENT = """
playbook_id: thinking
version: 1.0.0
title: Thinking
objective: Think
runtime_defaults: {provider: openai}
nodes:
  - {id: a, type: agentic, agent: thinker, prompt: think}
"""


async def explain(house: Any, run_id: RunId) -> Explanation:
    return await explain_run(house.store, house.timing, run_id)


async def why(house: Any, run_id: RunId) -> list[Any]:
    return [reason.why for reason in (await explain(house, run_id)).reasons]


async def lose(house: Any, clock: Any) -> None:
    """Lets every lease lapse."""
    for _ in range(40):
        clock.advance(1)
        await house.sweep()


async def fail(holder: Any) -> None:
    """Lets the first attempt of `a` fail, which is to be tried again after 4 seconds."""
    cause, message = instances_pb2.FAILURE_CAUSE_EXIT_CODE, "it exited with 1"
    failed = holder.settled("a", outcome=instances_pb2.OUTCOME_FAILED, cause=cause, message=message)
    failed.node_settled.retry_delay.FromSeconds(4)
    assert isinstance(await holder.send(holder.started("a"), failed), Ack)


async def test_a_run_that_nobody_would_take_says_what_is_lacking(house: Any, clock: Any) -> None:
    run_id, ready_at = await house.start(queue="gpu"), clock.now
    lacks = []
    for executor in (
        None,
        {"name": "other-queue"},
        {"name": "old-rules", "queues": ("gpu",), "fold_lowest": 0, "fold_highest": 0},
        {"name": "able", "queues": ("gpu",), "slots": 3},
    ):
        if executor is not None:
            await house.connect(**executor)
        lacks += await why(house, run_id)

    place = Place(ready_at, 0)
    assert lacks == [
        Unserved(Lack.EXECUTOR, place),
        Unserved(Lack.QUEUE, place),
        Unserved(Lack.FOLD_VERSION, place),
        Queued(place, slots=3, taken=0),
    ]


async def test_a_run_whose_provider_nobody_has_names_it(house: Any, clock: Any) -> None:
    await house.connect("first", providers=("openai",))
    run_id = await house.start(AGENT)
    clock.advance(31)
    await house.connect("second")

    explanation = await explain(house, run_id)

    (reason,) = explanation.reasons
    assert isinstance(reason.why, Unserved)
    assert (reason.why.lack, reason.why.providers) == (Lack.PROVIDER, ("openai",))
    assert reason.next_check_at == explanation.next_check_at == 0


async def test_a_run_whose_labels_nobody_has_names_those_that_are_missing(house: Any, clock: Any) -> None:
    run_id, place = await house.start(labels=("gpu", "site-berlin")), Place(clock.now, 0)
    missing = []
    for name, labels in (("here", ("site-berlin",)), ("there", ("gpu",)), ("able", ("gpu", "large", "site-berlin"))):
        await house.connect(name, labels=labels)
        missing += await why(house, run_id)

    assert missing == [
        Unserved(Lack.LABEL, place, labels=("gpu",)),
        Unserved(Lack.LABEL, place, labels=("gpu", "site-berlin")),
        Queued(place, slots=10, taken=0),
    ]


async def test_a_run_behind_others_says_behind_how_many_and_which_slots_are_taken(house: Any, clock: Any) -> None:
    executor = await house.connect(slots=1)
    await house.start()
    await house.claim(executor, 1)
    await house.start(queue="elsewhere", priority=100)
    clock.advance(1)
    await house.start()
    clock.advance(1)
    last, ready_at = await house.start(), clock.now
    clock.advance(1)
    await house.start(priority=1)
    await house.start()

    explanation = await explain(house, last)

    waits = Queued(Place(ready_at, 2), slots=1, taken=1)
    assert explanation.reasons == (Reason(waits, clock.now + QUEUE_POLL),)
    assert explanation.next_check_at == clock.now + QUEUE_POLL


async def test_a_run_at_work_says_on_what_since_when_where_and_until_when_its_lease_is(house: Any, clock: Any) -> None:
    await house.start()
    executor = await house.connect()
    granted_at, lease_until = clock.now, clock.now + house.timing.lease
    (holder,) = await house.claim(executor)
    idle = await why(house, holder.run_id)
    clock.advance(2)
    await holder.send(holder.started("a"))
    begun_at = clock.now
    clock.advance(3)

    explanation = await explain(house, holder.run_id)

    assert idle == [UnderWay("x", granted_at, ())]
    (reason,) = explanation.reasons
    assert isinstance(reason.why, UnderWay)
    assert [(str(where), since) for where, since in reason.why.attempts] == [("a:1#1", begun_at)]
    assert reason.next_check_at == lease_until == explanation.next_check_at


async def test_a_run_that_waits_for_its_next_attempt_says_until_when(house: Any, holder: Any, clock: Any) -> None:
    clock.advance(5)
    await fail(holder)
    failed_at = clock.now
    clock.advance(1)

    first, second = (await explain(house, holder.run_id)).reasons

    assert isinstance(first.why, NextAttempt)
    assert (str(first.why.instance), first.why.failed_at) == ("a:1#2", failed_at)
    assert (first.why.cause, first.why.message) == (instances_pb2.FAILURE_CAUSE_EXIT_CODE, "it exited with 1")
    assert first.next_check_at == failed_at + 4 * SECOND
    assert isinstance(second.why, UnderWay)


async def test_whoever_takes_a_run_over_lets_the_back_off_go_by_once_more(house: Any, holder: Any, clock: Any) -> None:
    await fail(holder)
    await holder.send(holder.returned())
    await holder.send(holder.returned())
    clock.advance(5)
    await house.claim(await house.connect("y"))

    first, _ = (await explain(house, holder.run_id)).reasons

    assert first.next_check_at == clock.now + 4 * SECOND


async def test_a_run_that_asks_a_person_says_where_and_until_when(house: Any, gated: Any, clock: Any) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())

    (reason,) = (await explain(house, gated.run_id)).reasons

    assert isinstance(reason.why, Wait)
    assert (reason.why.instance, reason.why.approval_id) == ("gate:1#1", asked_id(gated.run_id))
    assert reason.next_check_at == clock.now + 60 * SECOND


async def test_holds_come_with_what_runs_on_below_them(house: Any, holder: Any, clock: Any) -> None:
    await holder.send(holder.started("a"))
    await pause_run(house.store, ADA, holder.run_id, "look", "")

    hold, work = (await explain(house, holder.run_id)).reasons

    assert hold == Reason(StandingHold(Hold.OPERATOR, 5, clock.now, "ada", "look"))
    assert isinstance(work.why, UnderWay)


async def test_a_back_off_that_nothing_follows_from_under_a_hold_is_not_told(house: Any, holder: Any) -> None:
    await fail(holder)
    await pause_run(house.store, ADA, holder.run_id, "", "")

    assert [type(reason) for reason in await why(house, holder.run_id)] == [StandingHold, UnderWay]


async def test_a_stop_that_is_not_done_says_who_asked_and_when_the_run_is_taken(
    house: Any, holder: Any, clock: Any
) -> None:
    await stop_run(house.store, ADA, holder.run_id, Stop.INTERRUPT, "lunch", "")
    asked_at = clock.now
    clock.advance(1)
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "for good", "")

    first, second = (await explain(house, holder.run_id)).reasons

    assert first.why == PendingStop(Stop.CANCEL, clock.now, "anonymous", "for good")
    assert first.next_check_at == clock.now + house.timing.stop_grace > asked_at
    assert isinstance(second.why, UnderWay)


async def test_an_effect_in_doubt_says_from_when_it_may_be_done_again(house: Any, holder: Any, clock: Any) -> None:
    await holder.node("a")
    await holder.send(holder.started("b", "AT_MOST_ONCE", command="send it"))
    begun_at = clock.now
    await lose(house, clock)

    explanation = await explain(house, holder.run_id)

    (reason,) = explanation.reasons
    assert isinstance(reason.why, UnresolvedEffect)
    assert begun_at < reason.why.doubted_at < clock.now
    assert str(reason.why.effect.instance) == "b:1#1"
    assert reason.why.task.startswith("sessions/s/tasks/")
    assert reason.why.retry_at > clock.now
    assert reason.next_check_at == reason.why.retry_at == explanation.next_check_at
    clock.advance(1000)
    assert (await explain(house, holder.run_id)).reasons[0].next_check_at == 0


async def test_an_effect_that_its_own_executor_doubts_says_since_when(house: Any, holder: Any, clock: Any) -> None:
    doubt = node_events_pb2.NodeInDoubt(instance=place("b"), cause=instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT)
    await holder.node("a")
    await holder.send(holder.started("b", "AT_MOST_ONCE"), RunEvent(node_in_doubt=doubt))
    doubted_at = clock.now
    clock.advance(1)

    assert doubted_at in [getattr(why, "doubted_at", 0) for why in await why(house, holder.run_id)]


async def test_a_run_that_has_ended_says_so_and_what_it_left_in_doubt_until_that_is_settled(
    house: Any, holder: Any, clock: Any
) -> None:
    await holder.node("a")
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    await lose(house, clock)
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")
    left = await why(house, holder.run_id)
    found = await listed(house, RunCondition.IN_DOUBT)

    done = Resolution(holder.run_id, left[1].effect.instance, fact_events_pb2.RESOLUTION_KIND_DONE, b"{}", 0, "", "")
    await resolve_effect(house.store, Bounds(house.limits, house.timing), OPEN_CALLER, done)

    assert [type(reason) for reason in left] == [Ended, UnresolvedEffect]
    assert found == [holder.run_id]
    assert await why(house, holder.run_id) == [Ended()]
    assert await listed(house, RunCondition.IN_DOUBT) == []


async def test_the_run_s_own_deadline_is_a_time_at_which_it_is_looked_at(house: Any, clock: Any) -> None:
    run_id = await house.start(timeout_micros=5 * SECOND)

    explanation = await explain(house, run_id)
    await stop_run(house.store, OPEN_CALLER, run_id, Stop.CANCEL, "", "")

    assert explanation.next_check_at == explanation.deadline_at == clock.now + 5 * SECOND
    assert (await explain(house, run_id)).next_check_at == 0


async def test_a_run_that_does_not_exist_is_not_explained(house: Any) -> None:
    with pytest.raises(NotFound):
        await explain(house, RunId("none"))


async def test_no_payload_is_read_to_explain_a_run(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"), holder.output("a", b'{"x": 1}'), holder.settled("a"))
    await holder.send(holder.started("b"))
    of_data = (run_events.c.run_id == holder.run_id) & (run_events.c.kind >= 100)
    kept = await house.execute(select(run_events.c.sequence, run_events.c.event).where(of_data))
    await house.execute(update(run_events).where(of_data).values(event=b"\xff"))

    (work,) = await why(house, holder.run_id)

    assert len(kept) == 2
    assert [str(where) for where, _ in work.attempts] == ["b:1#1"]
    for sequence, event in kept:
        await house.execute(update(run_events).where(of_data, run_events.c.sequence == sequence).values(event=event))


async def test_runs_are_listed_by_what_keeps_them(house: Any, gated: Any, clock: Any) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    clock.advance(1)
    held, _ = await house.start(), await house.start()
    await pause_run(house.store, ADA, held, "", "")

    assert await listed(house, RunCondition.HELD) == [held]
    assert await listed(house, RunCondition.AWAITS_DECISION) == [gated.run_id]
    assert await listed(house, RunCondition.AWAITS_DECISION, RunCondition.HELD) == [held, gated.run_id]
    assert await listed(house, RunCondition.IN_DOUBT) == []


async def listed(house: Any, *conditions: RunCondition) -> list[RunId]:
    wanted = RunFilter(conditions=conditions)
    return [run.run_id for run in await house.store.read(lambda tx: tx.runs.page(wanted, None, 100))]
