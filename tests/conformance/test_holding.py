"""An operator's hold: what it keeps from beginning, who releases it, and which holds are not released that way."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from perdure.runlog.head import Hold, Stop
from perdure.runlog.states import RunState
from perdure.v1 import execution_pb2
from perdure_control_plane.domain.admission import Ack, Behind, Refused
from perdure_control_plane.domain.approval import Decision
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import NotHeld, RequestIdReused, RunStateForbids, StopStands
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.run import Run
from perdure_control_plane.storage.tables import run_events
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.open_store_life import open_store_life
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.readings.standing_holds import standing_holds
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.stop_run import stop_run
from tests.conformance.conftest import asked_id
from tests.conformance.stores import go_back

ADA = Caller(Principal("ada"), authenticated=True)


async def pause(house: Any, run_id: Any, reason: str = "", request_id: str = "", by: Caller = ADA) -> Run:
    return await pause_run(house.store, by, run_id, reason, request_id)


async def resume(house: Any, run_id: Any, request_id: str = "") -> Run:
    return await resume_run(house.store, OPEN_CALLER, run_id, "go", request_id)


async def test_a_queued_run_is_held_at_once_and_handed_out_again_when_it_is_resumed(house: Any) -> None:
    run_id, executor = await house.start(), await house.connect()

    paused = await pause(house, run_id)
    while_held = await house.claim(executor)
    resumed = await resume(house, run_id)

    assert paused.head.state is RunState.PAUSED
    assert while_held == []
    assert resumed.head.state is RunState.QUEUED
    assert [holder.run_id for holder in await house.claim(executor)] == [run_id]


async def test_a_holder_begins_nothing_more_lets_what_runs_end_and_pauses(house: Any, holder: Any) -> None:
    await holder.send(holder.started("a"))
    held = await pause(house, holder.run_id)
    seen = held.head.last_sequence

    unaware = await holder.send(holder.settled("a"), holder.started("b", "AT_MOST_ONCE"))
    aware = await holder.send(holder.started("b", "AT_MOST_ONCE"), first=3, seen=seen, tail=1)
    ended = await holder.send(holder.paused(ready=True), first=3, seen=seen, tail=1)

    assert held.head.state is RunState.RUNNING
    assert isinstance(unaware, Behind)
    assert isinstance(aware, Refused)
    assert aware.reason == execution_pb2.REFUSAL_REASON_ILLEGAL_STATE
    assert isinstance(ended, Ack)
    assert (await house.run(holder.run_id)).head.state is RunState.PAUSED
    assert (await house.kinds(holder.run_id))[-4:] == ["node_started", "fact_recorded", "node_settled", "run_paused"]
    assert (await resume(house, holder.run_id)).head.state is RunState.QUEUED
    assert [next_one.run_id for next_one in await house.claim(await house.connect("y"))] == [holder.run_id]


async def test_a_run_that_is_resumed_before_its_holder_let_go_stays_with_it(house: Any, holder: Any) -> None:
    held = await pause(house, holder.run_id)
    resumed = await resume(house, holder.run_id)

    late = await holder.send(holder.paused(ready=True), seen=held.head.last_sequence)
    begun = await holder.send(holder.started("a"), first=1, seen=resumed.head.last_sequence, tail=1)

    assert isinstance(late, Behind)
    assert isinstance(begun, Ack)


async def test_a_run_says_who_holds_it_since_when_and_why_and_the_first_pause_stands(house: Any, clock: Any) -> None:
    run_id, before = await house.start(), clock.now
    clock.advance(5)
    await pause(house, run_id, "look at the disk")
    clock.advance(5)
    await pause(house, run_id, "another reason", by=OPEN_CALLER)

    (hold,) = await house.store.read(lambda tx: standing_holds(tx, tx.runs.get(run_id)))

    assert (hold.cause, hold.actor, hold.reason) == (Hold.OPERATOR, "ada", "look at the disk")
    assert hold.placed_at == before + 5_000_000
    assert (await house.kinds(run_id)).count("fact_recorded") == 1
    assert (await get_recovery(house.store, house.timing, run_id)).holds == (hold,)


async def test_a_run_that_is_held_again_names_the_latest_pause_behind_facts_that_came_since(
    house: Any, gated: Any
) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    await pause(house, gated.run_id, "first")
    await resume(house, gated.run_id)
    await pause(house, gated.run_id, "second")
    await _approve(house, gated)

    (hold,) = await house.store.read(lambda tx: standing_holds(tx, tx.runs.get(gated.run_id)))

    assert hold.reason == "second"


async def test_the_same_request_again_does_nothing_and_another_under_its_id_is_refused(house: Any) -> None:
    run_id = await house.start()
    await pause(house, run_id, "why", "r-1")
    await resume(house, run_id, "r-2")

    again = await pause(house, run_id, "why", "r-1")

    assert again.head.state is RunState.QUEUED
    assert (await resume_run(house.store, OPEN_CALLER, run_id, "go", "r-2")).head == again.head
    with pytest.raises(RequestIdReused):
        await pause(house, run_id, "why not", "r-1")


@pytest.mark.parametrize("stop", [Stop.CANCEL, Stop.INTERRUPT])
async def test_a_run_that_has_ended_is_neither_held_nor_resumed(house: Any, stop: Stop) -> None:
    run_id = await house.start()
    await stop_run(house.store, OPEN_CALLER, run_id, stop, "", "")

    for control in (pause, resume):
        with pytest.raises(RunStateForbids, match="it has ended already"):
            await control(house, run_id)

    assert (await house.kinds(run_id))[-1] == "run_ended"


async def test_a_run_that_is_asked_to_stop_is_not_held(house: Any, holder: Any) -> None:
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")

    with pytest.raises(StopStands, match="INTERRUPT"):
        await pause(house, holder.run_id)

    assert (await house.run(holder.run_id)).head.holds == 0


async def test_a_run_that_nobody_holds_is_not_resumed(house: Any, gated: Any) -> None:
    with pytest.raises(NotHeld, match="it goes on by itself"):
        await resume(house, gated.run_id)
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())

    with pytest.raises(NotHeld, match="it waits for a decision") as refused:
        await resume(house, gated.run_id)

    assert refused.value.metadata["holds"] == ""


async def test_each_hold_is_released_in_its_own_way_and_leaves_the_other(house: Any, holder: Any) -> None:
    begun = await open_store_life(house.store, 1)
    await open_store_life(house.store, await go_back(house, begun.mark.starts))
    run_id = holder.run_id
    with pytest.raises(NotHeld, match="continue it") as refused:
        await resume(house, run_id)
    await pause(house, run_id)
    both = await get_recovery(house.store, house.timing, run_id)

    answer = Continuing(run_id, both.recovery.answers_sequence, "", 0, 0, "", "")
    continued = await continue_run(house.store, OPEN_CALLER, answer)
    with pytest.raises(RunStateForbids, match="resume it"):
        await continue_run(house.store, OPEN_CALLER, answer)
    resumed = await resume(house, run_id)

    assert refused.value.metadata["holds"] == "STORE_RESTORED"
    assert [hold.cause for hold in both.holds] == [Hold.STORE_RESTORED, Hold.OPERATOR]
    assert both.recovery.needs == ("resume",)
    assert (continued.head.state, Hold(continued.head.holds)) == (RunState.PAUSED, Hold.OPERATOR)
    assert (resumed.head.state, resumed.head.holds) == (RunState.QUEUED, 0)


async def test_a_resume_leaves_what_else_holds_a_run(house: Any, holder: Any) -> None:
    begun = await open_store_life(house.store, 1)
    await open_store_life(house.store, await go_back(house, begun.mark.starts))
    await pause(house, holder.run_id)

    resumed = await resume(house, holder.run_id)

    assert (resumed.head.state, Hold(resumed.head.holds)) == (RunState.PAUSED, Hold.STORE_RESTORED)


async def test_a_decision_is_taken_while_a_run_is_held_and_followed_when_it_is_resumed(house: Any, gated: Any) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    await pause(house, gated.run_id)

    await _approve(house, gated)
    held = (await house.run(gated.run_id)).head
    resumed = await resume(house, gated.run_id)

    assert (held.state, held.ready) == (RunState.PAUSED, True)
    assert resumed.head.state is RunState.QUEUED


async def test_a_run_that_waits_for_a_person_waits_still_when_it_is_resumed(house: Any, gated: Any) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    await pause(house, gated.run_id)

    resumed = await resume(house, gated.run_id)

    assert (resumed.head.state, resumed.head.open_waits) == (RunState.PAUSED, 1)


async def test_a_deadline_counts_while_a_run_is_held(house: Any, clock: Any) -> None:
    run_id = await house.start(timeout_micros=5_000_000)
    await pause(house, run_id)
    await house.sweep()

    clock.advance(1)
    await house.sweep()
    before = (await house.run(run_id)).head.state
    clock.advance(5)
    await house.sweep()
    await house.sweep()

    assert before is RunState.PAUSED
    assert (await house.run(run_id)).head.state is RunState.TIMED_OUT


async def test_a_hold_outlives_an_interruption(house: Any) -> None:
    run_id = await house.start()
    await pause(house, run_id)
    ended = await stop_run(house.store, OPEN_CALLER, run_id, Stop.INTERRUPT, "", "")

    answer = Continuing(run_id, ended.head.ended_sequence, "", 0, 0, "", "")
    continued = await continue_run(house.store, OPEN_CALLER, answer)

    assert continued.head.state is RunState.PAUSED
    assert (await resume(house, run_id)).head.state is RunState.QUEUED


async def test_a_held_run_whose_executor_is_lost_stays_held(house: Any, holder: Any, clock: Any) -> None:
    await holder.send(holder.started("a"))
    await pause(house, holder.run_id)
    for _ in range(40):
        clock.advance(1)
        await house.sweep()

    lost = await house.run(holder.run_id)

    assert (lost.head.state, lost.head.ready, lost.head.in_doubt) == (RunState.PAUSED, True, 0)
    assert (await resume(house, holder.run_id)).head.state is RunState.QUEUED


async def test_controls_read_no_payload(house: Any) -> None:
    payload = b'{"text": "' + b"x" * 900_000 + b'"}'
    await house.start(input=payload)
    (holder,) = await house.claim(await house.connect())
    await holder.send(holder.started("a"), holder.output("a", payload))
    of_data = (run_events.c.run_id == holder.run_id) & (run_events.c.kind >= 100)
    kept = await house.execute(select(run_events.c.sequence, run_events.c.event).where(of_data))
    unreadable = update(run_events).where(of_data).values(event=b"\xff")
    await house.execute(unreadable)

    paused = await pause(house, holder.run_id, "", "p")
    holds = await house.store.read(lambda tx: standing_holds(tx, paused))
    await resume(house, holder.run_id)
    interrupted = await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")
    cancelled = await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")

    assert len(kept) == 2
    assert [hold.cause for hold in holds] == [Hold.OPERATOR]
    assert (interrupted.head.stop, cancelled.head.stop) == (Stop.INTERRUPT, Stop.CANCEL)
    for sequence, event in kept:
        await house.execute(update(run_events).where(of_data, run_events.c.sequence == sequence).values(event=event))


async def test_of_a_pause_and_a_resume_at_once_the_run_is_left_as_the_later_one_says(house: Any, holder: Any) -> None:
    await asyncio.gather(pause(house, holder.run_id), holder.send(holder.started("a")), pause(house, holder.run_id))

    run = await resume(house, holder.run_id)

    assert run.head.holds == 0
    assert (await house.kinds(holder.run_id)).count("fact_recorded") == 2


async def _approve(house: Any, gated: Any) -> None:
    shown = await get_approval(house.store, house.keys, OPEN_CALLER, asked_id(gated.run_id))
    asked = Deciding(shown.approval.approval_id, Decision.APPROVED, shown.token, "", "")
    await decide_approval(house.store, house.limits, house.keys, OPEN_CALLER, asked)
