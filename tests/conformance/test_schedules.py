"""Schedules, with a clock that the test moves: each time is dealt with once, as its policies say."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import AlreadyExists, FieldInvalid, NotFound
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.queries import FlowFilter
from perdure_control_plane.domain.schedule import FiringState, Misfire, Overlap
from perdure_control_plane.usecases.create_schedule import NewSchedule, create_schedule
from perdure_control_plane.usecases.delete_schedule import delete_schedule
from perdure_control_plane.usecases.fire_schedules import fire_schedules
from perdure_control_plane.usecases.pause_schedule import pause_schedule
from perdure_control_plane.usecases.resume_schedule import resume_schedule
from perdure_control_plane.usecases.start_flow import FlowStarter
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.timetables import next_time
from perdure_control_plane.usecases.trigger_schedule import trigger_schedule

HOUR = 3600 * SECOND
STARTED, WAITING, SKIPPED, MISSED, REFUSED = FiringState


async def make(house: Any, **fields: Any) -> Any:
    """A schedule that fires every hour."""
    start = await house.asked()
    asked = NewSchedule("nightly", start, "", HOUR, "UTC", Overlap.SKIP, Misfire.RUN_ONCE, HOUR, 0, "")
    starter = FlowStarter(house.store, house.limits)
    return await create_schedule(house.store, starter, OPEN_CALLER, replace(asked, **fields))


async def fire(house: Any) -> Any:
    return await fire_schedules(house.store, house.limits)


async def history(house: Any) -> list[FiringState]:
    """What became of its times, the first first."""
    return [one.state for one in reversed(await house.store.read(lambda tx: tx.firings.page("nightly", 0, 500)))]


async def flows(house: Any) -> list[Any]:
    return list(await house.store.read(lambda tx: tx.flows.page(FlowFilter(), None, 100)))


async def end(house: Any) -> None:
    """Ends every flow that was started."""
    for flow in await flows(house):
        run = await house.run(flow.root_run_id)
        if run.head.state is RunState.QUEUED:
            await stop_run(house.store, OPEN_CALLER, run.run_id, Stop.CANCEL, "", "")


async def test_a_time_starts_the_flow_when_it_comes_and_not_before(house: Any, clock: Any) -> None:
    made = await make(house)
    clock.advance(3599)
    early = await fire(house)
    clock.advance(1)
    fired = await fire(house)
    again = await fire(house)

    assert (early.schedules, fired.schedules, again.schedules) == ([], ["nightly"], [])
    assert early.next_at == made.next_at == made.created_at + HOUR
    assert await history(house) == [STARTED]
    assert len(await flows(house)) == 1


async def test_what_a_firing_starts_is_what_was_asked_for_where_it_may_run_too(house: Any, clock: Any) -> None:
    start = await house.asked()
    await make(house, start=replace(start, queue="nights", labels=("gpu", "site-berlin"), priority=7))
    clock.advance(3600)
    await fire(house)

    (flow,) = await flows(house)
    who = (await house.run(flow.root_run_id)).identity
    assert (who.queue, who.labels, who.priority) == ("nights", ("gpu", "site-berlin"), 7)


async def test_two_servers_that_fire_at_once_start_one_flow(house: Any, clock: Any) -> None:
    await make(house)
    clock.advance(3600)

    await asyncio.gather(fire(house), fire(house), fire(house))

    assert await history(house) == [STARTED]
    assert len(await flows(house)) == 1


async def test_a_time_that_comes_while_the_flow_before_goes_on_is_skipped(house: Any, clock: Any) -> None:
    await make(house)
    for _ in range(2):
        clock.advance(3600)
        await fire(house)
    await end(house)
    clock.advance(3600)
    await fire(house)

    assert await history(house) == [STARTED, SKIPPED, STARTED]


async def test_one_time_waits_for_the_flow_before_and_further_ones_are_skipped(house: Any, clock: Any) -> None:
    await make(house, overlap=Overlap.QUEUE_ONE)
    for _ in range(3):
        clock.advance(3600)
        await fire(house)
    before = await history(house)
    await end(house)
    await fire(house)

    assert before == [STARTED, WAITING, SKIPPED]
    assert await history(house) == [STARTED, STARTED, SKIPPED]


@pytest.mark.parametrize(
    ("overlap", "states"),
    [(Overlap.ALLOW, ["QUEUED", "QUEUED"]), (Overlap.CANCEL_PREVIOUS, ["CANCELLED", "QUEUED"])],
)
async def test_a_flow_is_started_beside_the_one_before_or_in_its_place(
    house: Any, clock: Any, overlap: Overlap, states: list[str]
) -> None:
    await make(house, overlap=overlap)
    for _ in range(2):
        clock.advance(3600)
        await fire(house)

    runs = [await house.run(flow.root_run_id) for flow in reversed(await flows(house))]

    assert [run.head.state.value for run in runs] == states
    assert await history(house) == [STARTED, STARTED]


@pytest.mark.parametrize(
    ("misfire", "states"),
    [
        (Misfire.SKIP, [MISSED, MISSED, MISSED, MISSED]),
        (Misfire.RUN_ONCE, [MISSED, MISSED, MISSED, STARTED]),
        (Misfire.RUN_ALL, [MISSED, MISSED, STARTED, STARTED]),
    ],
)
async def test_times_that_no_server_was_there_for_are_made_up_for_as_the_policy_says(
    house: Any, clock: Any, misfire: Misfire, states: list[FiringState]
) -> None:
    await make(house, misfire=misfire, overlap=Overlap.ALLOW, catch_up_window=2 * HOUR)

    clock.advance(4 * 3600 + 1800)
    await fire(house)

    assert await history(house) == states
    assert len(await flows(house)) == states.count(STARTED)


async def test_a_start_that_is_refused_is_told_and_the_next_time_is_tried(house: Any, clock: Any) -> None:
    await make(house, overlap=Overlap.ALLOW)
    limits, house.limits = house.limits, replace(house.limits, max_queued_runs=0)
    clock.advance(3600)
    await fire(house)
    house.limits = limits
    clock.advance(3600)
    await fire(house)

    (last, first) = await house.store.read(lambda tx: tx.firings.page("nightly", 0, 10))

    assert (first.state, last.state) == (REFUSED, STARTED)
    assert first.message.startswith("QUEUE_FULL")


async def test_while_it_is_paused_no_time_comes_and_what_passed_counts_for_nothing(house: Any, clock: Any) -> None:
    await make(house)
    await pause_schedule(house.store, OPEN_CALLER, "nightly", "")
    clock.advance(3 * 3600 + 60)
    await fire(house)
    resumed = await resume_schedule(house.store, OPEN_CALLER, "nightly", "")

    assert await history(house) == []
    assert resumed.next_at == resumed.created_at + 4 * HOUR


async def test_it_is_triggered_once_for_each_request_and_its_times_stay(house: Any, clock: Any) -> None:
    made = await make(house)

    first = await trigger_schedule(house.store, house.limits, OPEN_CALLER, "nightly", "one")
    again = await trigger_schedule(house.store, house.limits, OPEN_CALLER, "nightly", "one")

    assert first == again
    assert (first.state, first.triggered) == (STARTED, True)
    assert len(await flows(house)) == 1
    assert (await house.store.read(lambda tx: tx.schedules.get("nightly"))).next_at == made.next_at


async def test_jitter_moves_a_firing_by_the_same_at_every_server(house: Any, clock: Any) -> None:
    made = await make(house, jitter=600 * SECOND)

    assert made.next_at == made.created_at + HOUR
    assert made.next_at <= made.due_at < made.next_at + 600 * SECOND
    assert made.fires_at(made.next_at) == made.due_at


async def test_the_same_schedule_again_is_the_one_that_is_there_and_another_is_refused(house: Any) -> None:
    made = await make(house)

    assert await make(house) == made
    with pytest.raises(AlreadyExists):
        await make(house, interval=2 * HOUR)


async def test_a_schedule_that_is_deleted_is_gone_with_its_history(house: Any, clock: Any) -> None:
    await make(house)
    clock.advance(3600)
    await fire(house)

    await delete_schedule(house.store, OPEN_CALLER, "nightly", "")

    assert len(await flows(house)) == 1
    assert await history(house) == []
    with pytest.raises(NotFound):
        await delete_schedule(house.store, OPEN_CALLER, "nightly", "")


@pytest.mark.parametrize(("cron", "zone"), [("* * * *", "UTC"), ("61 * * * *", "UTC"), ("0 0 * * *", "Mars/Olympus")])
async def test_what_is_no_cron_expression_or_no_zone_is_refused(house: Any, cron: str, zone: str) -> None:
    with pytest.raises(FieldInvalid):
        await make(house, cron=cron, interval=0, time_zone=zone)


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),  # the clock skips 02:30
        ("30 2 * * *", "2026-10-24T12:00:00+00:00", "2026-10-25T00:30:00+00:00"),  # the clock shows 02:30 twice
        ("30 2 * * *", "2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"),  # and it comes once
        ("0 8 * * 1", "2026-11-22T12:00:00+00:00", "2026-11-23T07:00:00+00:00"),
    ],
)
async def test_a_cron_time_is_of_its_zone_also_when_clocks_are_changed(
    house: Any, cron: str, after: str, expected: str
) -> None:
    made = await make(house, cron=cron, interval=0, time_zone="Europe/Vienna")
    moment = round(datetime.fromisoformat(after).timestamp() * 1e6)

    assert datetime.fromtimestamp(next_time(made, moment) / 1e6, UTC) == datetime.fromisoformat(expected)
