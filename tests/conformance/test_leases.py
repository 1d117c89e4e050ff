"""Who holds what: claims, confirmations, renewals, and what the sweep takes back."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from perdure.runlog.head import Hold, Stop
from perdure.runlog.states import RunState
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.api.work.incoming import KIND_NUMBERS
from perdure_control_plane.domain.admission import Ack, Batch, Incoming, Rejected
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.ids import Incarnation, LeaseId, RunId
from perdure_control_plane.usecases.connect_executor import HeldRun, renew_lease
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.sweep import Held, Swept
from tests.conformance.conftest import asked_id
from tests.conformance.stores import refuse_events, take_events_again


async def test_runs_are_handed_out_by_priority_and_then_by_age(house: Any, clock: Any) -> None:
    runs = []
    for priority in (0, 5, 0, 5):
        clock.advance(1)
        runs.append(await house.start(priority=priority))

    claimed = await house.claim(await house.connect(), limit=3)

    assert [holder.run_id for holder in claimed] == [runs[1], runs[3], runs[0]]


async def test_an_executor_is_handed_only_what_it_serves(house: Any) -> None:
    await house.start(queue="special")
    run = await house.start()

    claimed = await house.claim(await house.connect())
    special = await house.claim(await house.connect("y", queues=("special",)))
    too_old = await house.claim(await house.connect("z", queues=("default", "special"), fold_lowest=2, fold_highest=2))

    assert [holder.run_id for holder in claimed] == [run]
    assert len(special) == 1
    assert too_old == []


async def test_a_run_an_executor_cannot_do_does_not_block_those_behind_it(house: Any) -> None:
    for _ in range(120):
        await house.start(queue="special", priority=1)
    run = await house.start()

    claimed = await house.claim(await house.connect(), limit=1)

    assert [holder.run_id for holder in claimed] == [run]


async def test_a_run_is_handed_out_once(house: Any) -> None:
    await house.start()
    first, second = await house.connect("x"), await house.connect("y")

    claims = [await house.claim(first), await house.claim(second)]

    assert [len(claim) for claim in claims] == [1, 0]


async def test_nothing_is_handed_to_an_older_stream_or_a_lapsed_lease(house: Any, clock: Any) -> None:
    await house.start()
    old = await house.connect()
    new = await house.connect()

    to_old = await house.claim(old)
    clock.advance(house.timing.lease / 1e6 + 1)
    to_lapsed = await house.claim(new)

    assert (to_old, to_lapsed) == ([], [])


async def test_a_lapsed_lease_queues_the_run_and_fences_its_holder(house: Any, clock: Any, holder: Any) -> None:
    await holder.send(holder.started("a"))
    await house.sweep()

    requeued = await _let_lapse(house, clock)

    run = await house.run(holder.run_id)
    assert requeued == [holder.run_id]
    assert (run.head.state, run.head.epoch) == (RunState.QUEUED, 2)
    assert await holder.send(holder.settled("a")) == Rejected()


async def test_a_renewed_lease_does_not_lapse(house: Any, clock: Any, holder: Any) -> None:
    await house.sweep()
    for _ in range(5):
        clock.advance(9)
        await house.renew(await _same(house, holder), holder)
        await house.sweep()

    assert (await house.run(holder.run_id)).head.state is RunState.RUNNING


async def test_a_lapse_inside_work_that_may_not_be_repeated_holds_the_run(house: Any, clock: Any, holder: Any) -> None:
    await holder.node("a")
    await holder.send(holder.started("b", "AT_MOST_ONCE", command="publish"))
    await house.sweep()

    swept = await _sweep_for(house, clock, house.timing.lease // 1_000_000)

    run = await house.run(holder.run_id)
    (task,) = await house.store.read(lambda tx: tx.tasks.page("s", None, None, 10))
    assert (run.head.state, run.head.in_doubt) == (RunState.PAUSED, 1)
    assert [held for once in swept for held in once.held] == [Held(holder.run_id, "EFFECT_IN_DOUBT", ("b:1#1",))]
    assert [run_id for once in swept for run_id in once.requeued] == []
    assert (task.state, task.terminal_reason) == ("FAILED", "EXECUTOR_LOST")


async def test_a_time_in_which_the_store_was_away_lapses_nothing(house: Any, clock: Any, holder: Any) -> None:
    await house.sweep()

    clock.advance(300)
    noticed = await house.sweep()
    for _ in range(3):
        clock.advance(1)
        await house.sweep()
    running = (await house.run(holder.run_id)).head.state
    for _ in range(40):
        clock.advance(1)
        await house.sweep()

    assert noticed.outage is not None
    assert running is RunState.RUNNING
    assert (await house.run(holder.run_id)).head.state is RunState.QUEUED


async def test_a_run_nobody_confirmed_is_queued_again_and_not_counted(house: Any, clock: Any) -> None:
    await house.start()
    (holder,) = await house.claim(await house.connect(), confirm=False)
    await house.sweep()

    clock.advance(house.timing.assignment_ack / 1e6 + 1)
    swept = await house.sweep()

    run = await house.run(holder.run_id)
    assert swept.requeued == [holder.run_id]
    assert (run.head.state, run.head.fruitless_takeovers) == (RunState.QUEUED, 0)


async def test_events_confirm_a_run_as_well(house: Any, clock: Any) -> None:
    await house.start()
    (holder,) = await house.claim(await house.connect(), confirm=False)
    await holder.send(holder.started("a"))
    await house.sweep()

    clock.advance(house.timing.assignment_ack / 1e6 + 1)
    swept = await house.sweep()

    assert swept.requeued == []


async def test_a_run_that_events_have_confirmed_outlives_a_time_in_which_the_store_was_away(
    house: Any, clock: Any
) -> None:
    await house.start()
    (holder,) = await house.claim(await house.connect(), confirm=False)
    await holder.send(holder.started("a"))
    await house.sweep()

    clock.advance(300)
    noticed = await house.sweep()
    clock.advance(1)
    swept = await house.sweep()

    assert noticed.outage is not None
    assert swept.requeued == []


async def test_a_confirmed_run_that_its_executor_does_not_hold_is_queued_again(house: Any, holder: Any) -> None:
    executor = await _same(house, holder)

    await house.renew(executor)

    assert (await house.run(holder.run_id)).head.state is RunState.QUEUED


async def test_an_assignment_the_executor_has_not_seen_yet_is_not_taken_back(house: Any, holder: Any) -> None:
    executor = await _same(house, holder, stream_number=1)

    await house.renew(executor, last_assignment=0)

    assert (await house.run(holder.run_id)).head.state is RunState.RUNNING


async def test_an_executor_is_told_of_runs_it_was_not_given(house: Any, holder: Any) -> None:
    executor = await _same(house, holder, stream_number=1)
    stranger = HeldRun(holder.run_id, LeaseId("another"))

    renewal = await renew_lease(house.store, house.timing, executor.incarnation, 1, 0, (stranger,))

    assert renewal is not None
    assert renewal.strangers == (stranger,)


async def test_a_heartbeat_of_an_older_stream_renews_nothing(house: Any, holder: Any) -> None:
    await house.connect()

    renewal = await renew_lease(house.store, house.timing, Incarnation("x-process"), 1, 0, ())

    assert renewal is None


async def test_too_many_takeovers_without_an_event_hold_the_run(house: Any, clock: Any) -> None:
    run_id = await house.start()
    await house.sweep()
    for takeover in range(house.timing.takeover_limit):
        await house.claim(await house.connect(f"x{takeover}"))
        swept = await _sweep_for(house, clock, house.timing.lease // 1_000_000)

    run = await house.run(run_id)
    assert run.head.state is RunState.PAUSED
    assert run.head.holds == Hold.TAKEOVER_LIMIT
    assert [held for once in swept for held in once.held] == [Held(run_id, "TAKEOVER_LIMIT")]


async def test_a_held_run_goes_on_when_it_is_continued(house: Any, clock: Any) -> None:
    run_id = await house.start()
    await house.sweep()
    for takeover in range(house.timing.takeover_limit):
        await house.claim(await house.connect(f"x{takeover}"))
        await _let_lapse(house, clock)
    placed = (await house.run(run_id)).head.outside_sequence

    asked = Continuing(run_id, placed, "", 0, 0, "the executors are mended", "")
    run = await continue_run(house.store, OPEN_CALLER, asked)

    assert (run.head.state, run.head.holds) == (RunState.QUEUED, 0)


async def test_work_that_kills_each_executor_after_its_start_is_stored_holds_the_run(house: Any, clock: Any) -> None:
    run_id = await house.start()
    await house.sweep()
    for takeover in range(house.timing.takeover_limit):
        assert (await house.run(run_id)).head.state is RunState.QUEUED
        (holder,) = await house.claim(await house.connect(f"x{takeover}"))
        await holder.send(holder.started("a"), holder.log_line("a", "about to crash"))
        await _let_lapse(house, clock)

    run = await house.run(run_id)
    assert (run.head.state, run.head.holds) == (RunState.PAUSED, Hold.TAKEOVER_LIMIT)


async def test_a_run_that_each_executor_lets_go_of_is_held(house: Any) -> None:
    run_id = await house.start()
    executor = await house.connect()
    for takeover in range(house.timing.takeover_limit):
        assert (await house.run(run_id)).head.state is RunState.QUEUED, takeover
        await house.claim(executor)
        await house.renew(executor)

    run = await house.run(run_id)
    assert (run.head.state, run.head.holds) == (RunState.PAUSED, Hold.TAKEOVER_LIMIT)


async def test_a_run_that_is_let_go_of_under_a_stop_ends(house: Any, holder: Any) -> None:
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")

    await house.renew(await _same(house, holder, stream_number=1))

    assert (await house.run(holder.run_id)).head.state is RunState.CANCELLED


async def test_a_settlement_makes_the_count_of_takeovers_begin_again(house: Any, clock: Any) -> None:
    run_id = await house.start()
    await house.sweep()
    for takeover in range(2 * house.timing.takeover_limit - 2):
        (holder,) = await house.claim(await house.connect(f"x{takeover}"))
        if takeover == house.timing.takeover_limit - 1:
            await holder.node("a")
        await _let_lapse(house, clock)

    assert (await house.run(run_id)).head.state is RunState.QUEUED


async def test_a_lease_lost_under_a_stop_ends_the_run(house: Any, clock: Any, holder: Any) -> None:
    await holder.send(holder.started("a"))
    await house.sweep()
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")

    await _let_lapse(house, clock)

    run = await house.run(holder.run_id)
    assert run.head.state is RunState.INTERRUPTED
    assert (await house.kinds(holder.run_id))[-2:] == ["lease_revoked", "run_ended"]


async def test_a_holder_that_does_not_stop_within_the_grace_loses_the_run(house: Any, clock: Any, holder: Any) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    await house.sweep()
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.CANCEL, "", "")
    executor = await _same(house, holder, stream_number=1)
    for _ in range(11):
        clock.advance(1)
        await house.renew(executor, holder)
        await house.sweep()

    run = await house.run(holder.run_id)
    assert (run.head.state, run.head.in_doubt) == (RunState.CANCELLED, 1)


async def test_a_run_past_its_deadline_is_stopped_or_ended(house: Any, clock: Any) -> None:
    waiting = await house.start(timeout_micros=20_000_000)
    await house.sweep()
    for _ in range(21):
        clock.advance(1)
        await house.sweep()

    run = await house.run(waiting)
    assert run.head.state is RunState.TIMED_OUT


@pytest.mark.parametrize("culprit", [0, 1])
async def test_a_run_that_the_sweep_cannot_handle_keeps_it_from_no_other(
    house: Any, clock: Any, manifests: Any, culprit: int
) -> None:
    for _ in range(2):
        await house.start(manifests["gated"])
    past_deadline = await house.start(timeout_micros=20_000_000)
    holders = sorted(await house.claim(await house.connect(), limit=2), key=lambda holder: holder.run_id)
    unfit, fit = holders.pop(culprit), holders[0]
    await fit.send(*fit.asks("gate"))
    await fit.send(fit.paused())
    await _store_unread(house, unfit, unfit.asks("a b")[1])
    await unfit.send(unfit.paused(), first=2)
    await house.sweep()

    swept = await _sweep_for(house, clock, seconds=65)

    assert [one for each in swept for one in each.followed_up] == [asked_id(fit.run_id)]
    assert (await house.run(past_deadline)).head.state is RunState.TIMED_OUT
    assert {run_id for each in swept for run_id in each.failed} == {unfit.run_id}


async def test_a_run_whose_events_the_database_refuses_keeps_the_sweep_from_no_other(house: Any, clock: Any) -> None:
    for _ in range(2):
        await house.start()
    refused, taken = await house.claim(await house.connect())
    await house.sweep()
    await refuse_events(house, refused.run_id)

    swept = await _sweep_for(house, clock, seconds=65)
    await take_events_again(house)

    assert [run_id for each in swept for run_id in each.requeued] == [taken.run_id]
    assert {run_id for each in swept for run_id in each.failed} == {refused.run_id}


async def _store_unread(house: Any, holder: Any, event: RunEvent) -> None:
    """Stores a holder's event without the checks on arrival, as an earlier version might have."""
    incoming = Incoming("wait_opened", KIND_NUMBERS["wait_opened"], event.SerializeToString(), event)
    batch = Batch(holder.run_id, holder.claimed.lease_id, 0, 1, holder.seen, [incoming])
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    house.store.append(batch, answered.set_result)
    assert isinstance(await answered, Ack)


async def _sweep_for(house: Any, clock: Any, seconds: int) -> list[Swept]:
    """What the sweeps of a time have done."""
    swept = []
    for _ in range(seconds // 5 + 1):
        clock.advance(5)
        swept.append(await house.sweep())
    return swept


async def _same(house: Any, holder: Any, **fields: Any) -> Any:
    """The executor of a holder, as its latest stream."""
    listed = await house.store.read(lambda tx: tx.executors.page(("", ""), tx.now, 10))
    return replace(listed[0].executor, **fields)


async def _let_lapse(house: Any, clock: Any) -> list[RunId]:
    """Lets the lease run out while the sweep keeps ticking; the runs that were queued again."""
    requeued = []
    for _ in range(house.timing.lease // 5_000_000 + 1):
        clock.advance(5)
        requeued += (await house.sweep()).requeued
    return requeued
