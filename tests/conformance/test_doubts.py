"""Effects in doubt: what an operator answers, and what a fenced executor reports."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from perdure.runlog import FOLD_VERSION
from perdure.runlog.head import Stop
from perdure.runlog.instances import Instance, Step
from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, instances_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain import errors
from perdure_control_plane.domain.admission import Behind
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.storage.tables import runs, tasks
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.ports import Order
from perdure_control_plane.usecases.record_late_report import Reception, Report, record_late_report
from perdure_control_plane.usecases.resolve_effect import Bounds, Resolution, resolve_effect
from perdure_control_plane.usecases.stop_run import stop_run

PUBLISH = Instance((Step("b", 1),), 1)

DONE = fact_events_pb2.RESOLUTION_KIND_DONE
RETRY = fact_events_pb2.RESOLUTION_KIND_RETRY
FAILED = fact_events_pb2.RESOLUTION_KIND_FAILED


async def let_the_lease_lapse(house: Any, clock: Any) -> None:
    await house.sweep()
    for _ in range(7):
        clock.advance(5)
        await house.sweep()


async def interrupt_under_a_live_executor(house: Any, holder: Any, clock: Any) -> None:
    """Stops a run whose executor goes on renewing its lease, and does not obey; the last renewal was 5 seconds ago."""
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")
    executor = await house.connect()
    for _ in range(30):
        await house.sweep()
        await house.renew(executor, holder)
        clock.advance(5)


@pytest.fixture
async def lost(house: Any, holder: Any, clock: Any) -> Any:
    """A holder whose executor was lost inside work that must not be repeated."""
    await holder.node("a")
    await holder.send(holder.started("b", "AT_MOST_ONCE", command="publish"))
    await let_the_lease_lapse(house, clock)
    clock.advance((house.timing.stall_allowance + house.timing.stop_grace) / 1e6)
    return holder


@pytest.mark.parametrize("kind", [RETRY, DONE, FAILED])
async def test_work_is_not_done_again_nor_called_failed_while_a_lost_executor_may_be_at_it(
    house: Any, holder: Any, clock: Any, kind: Any
) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    await let_the_lease_lapse(house, clock)

    if kind == DONE:
        assert (await _resolve(house, holder, kind)).head.in_doubt == 0
        return
    with pytest.raises(errors.EffectMayRun):
        await _resolve(house, holder, kind)
    (doubt,) = (await get_recovery(house.store, house.timing, holder.run_id)).in_doubt
    clock.advance((doubt.retry_at - clock.now) / 1e6)

    assert (await _resolve(house, holder, kind)).head.in_doubt == 0


async def test_work_that_a_report_says_has_ended_is_tried_again_at_once(house: Any, holder: Any, clock: Any) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    await let_the_lease_lapse(house, clock)
    await _report(house, holder)
    sequence = (await house.run(holder.run_id)).head.last_sequence

    assert (await _resolve(house, holder, RETRY, report_sequence=sequence)).head.in_doubt == 0


async def test_a_holder_that_was_stopped_by_force_may_be_at_it_for_a_lease_longer(
    house: Any, holder: Any, clock: Any
) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    await house.sweep()
    await stop_run(house.store, OPEN_CALLER, holder.run_id, Stop.INTERRUPT, "", "")
    for _ in range(3):
        clock.advance(4)
        await house.sweep()
    revoked_at = (await house.run(holder.run_id)).head.ended_at

    found = await get_recovery(house.store, house.timing, holder.run_id)

    timing = house.timing
    assert [one.retry_at for one in found.in_doubt] == [
        revoked_at + timing.lease + timing.stall_allowance + timing.stop_grace
    ]


async def test_work_is_not_tried_again_while_its_executor_lives_and_has_not_said_that_it_ended(
    house: Any, holder: Any, clock: Any
) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    await interrupt_under_a_live_executor(house, holder, clock)

    with pytest.raises(errors.EffectMayRun):
        await _resolve(house, holder, RETRY)
    await _report(house, holder)
    sequence = (await house.run(holder.run_id)).head.last_sequence

    assert (await _resolve(house, holder, RETRY, report_sequence=sequence)).head.in_doubt == 0


async def test_work_is_tried_again_once_its_executor_cannot_be_at_it_any_more(
    house: Any, holder: Any, clock: Any
) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    await interrupt_under_a_live_executor(house, holder, clock)
    renewed_at = clock.now - 5_000_000

    found = await get_recovery(house.store, house.timing, holder.run_id)

    timing = house.timing
    assert [one.retry_at for one in found.in_doubt] == [
        renewed_at + timing.lease + timing.stall_allowance + timing.stop_grace
    ]
    clock.advance((timing.lease + timing.stall_allowance + timing.stop_grace) / 1e6)
    assert (await _resolve(house, holder, RETRY)).head.in_doubt == 0


async def test_a_doubt_is_shown_with_its_key_and_its_task(house: Any, lost: Any) -> None:
    found = await get_recovery(house.store, house.timing, lost.run_id)

    (doubt,) = found.recovery.in_doubt
    assert doubt.instance == PUBLISH
    assert len(doubt.idempotency_key) == 64
    assert [one.effect.instance for one in found.in_doubt] == [PUBLISH]
    assert found.recovery.needs == ("resolve",)
    assert not found.recovery.can_continue


async def test_a_doubt_is_shown_with_its_task_however_many_began_after_it(house: Any, lost: Any) -> None:
    (row,) = await house.execute(select(tasks))
    copy = row._asdict() | {"instance": "c:1#1", "started_at": row.started_at + 1}
    await house.execute(insert(tasks).values([copy | {"task_id": f"copy-{number}"} for number in range(501)]))

    found = await get_recovery(house.store, house.timing, lost.run_id)
    await house.execute(delete(tasks).where(tasks.c.instance == "c:1#1"))

    assert [one.task for one in found.in_doubt] == [f"sessions/s/tasks/{row.task_id}"]


@pytest.mark.parametrize("kind", [DONE, RETRY, FAILED])
async def test_an_answer_queues_the_run(house: Any, lost: Any, kind: Any) -> None:
    run = await _resolve(house, lost, kind)

    assert (run.head.state, run.head.in_doubt, run.head.resolved_effects) == (RunState.QUEUED, 0, 1)


async def test_an_answer_is_given_once(house: Any, lost: Any) -> None:
    await _resolve(house, lost, DONE)
    before = await house.counts()

    with pytest.raises(errors.NotInDoubt):
        await _resolve(house, lost, FAILED)

    assert await house.counts() == before


async def test_an_answer_that_is_repeated_under_its_request_id_changes_nothing(house: Any, lost: Any) -> None:
    first = await _resolve(house, lost, DONE, request_id="r1")
    again = await _resolve(house, lost, DONE, request_id="r1")

    assert again.head.last_sequence == first.head.last_sequence
    with pytest.raises(errors.RequestIdReused):
        await _resolve(house, lost, FAILED, request_id="r1")


async def test_what_is_not_in_doubt_takes_no_answer(house: Any, lost: Any) -> None:
    asked = Resolution(lost.run_id, Instance((Step("a", 1),), 1), DONE, b"", 0, "", "")

    with pytest.raises(errors.NotInDoubt):
        await resolve_effect(house.store, Bounds(house.limits, house.timing), OPEN_CALLER, asked)


@pytest.mark.parametrize(
    ("kind", "output", "error"),
    [
        (DONE, b"no JSON", errors.FieldInvalid),
        (DONE, b"[1]", errors.FieldInvalid),
        (FAILED, b"{}", errors.FieldInvalid),
        (fact_events_pb2.RESOLUTION_KIND_UNSPECIFIED, b"", errors.FieldInvalid),
        (DONE, b'{"a":"' + b"x" * (5 << 20) + b'"}', errors.TooLarge),
    ],
)
async def test_an_unfit_answer_changes_nothing(house: Any, lost: Any, kind: Any, output: bytes, error: Any) -> None:
    before = await house.counts()

    with pytest.raises(error):
        await resolve_effect(
            house.store,
            Bounds(house.limits, house.timing),
            OPEN_CALLER,
            Resolution(lost.run_id, PUBLISH, kind, output, 0, "", ""),
        )

    assert await house.counts() == before


async def test_a_late_report_is_kept_once_and_settles_nothing(house: Any, lost: Any) -> None:
    stored = [await _report(house, lost), await _report(house, lost)]

    run = await house.run(lost.run_id)
    (doubt,) = (await get_recovery(house.store, house.timing, lost.run_id)).recovery.in_doubt
    assert stored == [Reception.STORED, Reception.NOTHING_NEW]
    assert (run.head.state, run.head.in_doubt) == (RunState.PAUSED, 1)
    assert doubt.doubt.report_sequence == run.head.last_sequence


async def test_a_report_of_a_lease_that_the_log_does_not_know_is_not_kept(house: Any, lost: Any) -> None:
    assert await _report(house, lost, lease_id="unknown") is Reception.NOTHING_NEW


async def test_a_report_whose_lease_still_stands_is_to_come_again(house: Any, holder: Any) -> None:
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    before = await house.counts()

    assert await _report(house, holder) is Reception.TOO_EARLY
    assert await house.counts() == before


async def test_an_answer_that_has_not_seen_the_last_report_is_refused(house: Any, lost: Any) -> None:
    await _report(house, lost)

    with pytest.raises(errors.ReportUnseen) as refused:
        await _resolve(house, lost, RETRY)

    sequence = (await house.run(lost.run_id)).head.last_sequence
    assert refused.value.metadata["report_sequence"] == str(sequence)
    await _resolve(house, lost, RETRY, report_sequence=sequence)


async def test_a_report_that_comes_before_the_work_begins_again_voids_the_answer(house: Any, lost: Any) -> None:
    await _resolve(house, lost, RETRY)

    await _report(house, lost)

    run = await house.run(lost.run_id)
    assert (run.head.state, run.head.in_doubt, run.head.resolved_effects) == (RunState.PAUSED, 1, 0)


class _Meanwhile:
    """A store in which something happens once between reading and writing, and whose writer reads no log."""

    def __init__(self, store: Any, happens: Callable[[], Awaitable[Any]]) -> None:
        self.store = store
        self.happens: Callable[[], Awaitable[Any]] | None = happens

    async def read(self, body: Callable[[Any], Any]) -> Any:
        found = await self.store.read(body)
        if self.happens is not None:
            happens, self.happens = self.happens, None
            await happens()
        return found

    async def write(self, body: Callable[[Any], Any], *order: Order) -> Any:
        return await self.store.write(lambda tx: body(_ReadOn(tx)), *order)


class _ReadOn:
    """A transaction in which nobody reads a log but from where it was read to before: others wait for it."""

    def __init__(self, tx: Any) -> None:
        self.runs, self.log, self.now, self.events = tx.runs, tx.log, tx.now, self
        self._events = tx.events

    def stored_after(self, run_id: str, sequence: int, **bounds: Any) -> Any:
        assert sequence > 0
        return self._events.stored_after(run_id, sequence, **bounds)


async def test_a_report_voids_an_answer_that_comes_while_its_log_is_read(house: Any, lost: Any) -> None:
    meanwhile = _Meanwhile(house.store, lambda: _resolve(house, lost, RETRY))

    received = await _report(house, lost, store=meanwhile)

    run = await house.run(lost.run_id)
    assert meanwhile.happens is None
    assert received is Reception.STORED
    assert (run.head.state, run.head.in_doubt, run.head.resolved_effects) == (RunState.PAUSED, 1, 0)


async def test_a_report_that_comes_while_the_log_is_read_for_the_same_is_kept_once(house: Any, lost: Any) -> None:
    meanwhile = _Meanwhile(house.store, lambda: _report(house, lost))

    received = await _report(house, lost, store=meanwhile)

    assert meanwhile.happens is None
    assert received is Reception.NOTHING_NEW
    assert (await house.kinds(lost.run_id)).count("fact_recorded") == 1


@pytest.mark.parametrize("kind", [DONE, RETRY, FAILED])
async def test_a_report_that_comes_after_the_answer_was_acted_on_changes_nothing(
    house: Any, lost: Any, kind: Any
) -> None:
    sequence = (await _resolve(house, lost, kind)).head.last_sequence
    (holder,) = await house.claim(await house.connect("y"))
    await holder.send(_taken_up(sequence), _following(holder, kind, sequence))
    before = (await house.run(lost.run_id)).head

    stored = await _report(house, lost)

    after = (await house.run(lost.run_id)).head
    assert stored is Reception.STORED
    assert (after.state, after.in_doubt, after.open_effects) == (before.state, 0, before.open_effects)


@pytest.mark.parametrize("kind", [DONE, RETRY])
async def test_a_holder_that_has_not_seen_the_report_cannot_act_on_the_answer(house: Any, lost: Any, kind: Any) -> None:
    sequence = (await _resolve(house, lost, kind)).head.last_sequence
    (holder,) = await house.claim(await house.connect("y"))
    await _report(house, lost)

    event = _following(holder, kind, sequence)
    answer = await holder.send(_taken_up(sequence), event)

    run = await house.run(lost.run_id)
    assert answer == Behind(2, holder.seen)
    assert (run.head.open_effects, run.head.in_doubt, run.head.resolved_effects) == (1, 1, 0)


@pytest.mark.parametrize("kind", [DONE, RETRY, FAILED])
async def test_a_holder_that_has_seen_everything_acts_on_the_answer(house: Any, lost: Any, kind: Any) -> None:
    sequence = (await _resolve(house, lost, kind)).head.last_sequence
    (holder,) = await house.claim(await house.connect("y"))

    await holder.send(_taken_up(sequence), _following(holder, kind, sequence))

    run = await house.run(lost.run_id)
    assert (run.head.open_effects, run.head.in_doubt, run.head.resolved_effects) == (int(kind == RETRY), 0, 0)


async def test_a_run_that_a_newer_version_folds_is_refused_by_its_version(house: Any) -> None:
    run_id = await house.start()
    await house.execute(update(runs).values(fold_version=FOLD_VERSION + 1))

    with pytest.raises(errors.VersionUnsupported) as refused:
        await get_recovery(house.store, house.timing, run_id)

    assert refused.value.metadata["supported"] == f"1 to {FOLD_VERSION}"
    await house.execute(update(runs).values(fold_version=FOLD_VERSION))


async def _resolve(house: Any, holder: Any, kind: Any, report_sequence: int = 0, request_id: str = "") -> Any:
    asked = Resolution(holder.run_id, PUBLISH, kind, b"", report_sequence, "looked", request_id)
    return await resolve_effect(house.store, Bounds(house.limits, house.timing), OPEN_CALLER, asked)


async def _report(house: Any, holder: Any, lease_id: str = "", store: Any = None) -> Reception:
    said = fact_events_pb2.LateReported(
        lease_id=lease_id or holder.claimed.lease_id, outcome=instances_pb2.OUTCOME_SUCCEEDED
    )
    return await record_late_report(store or house.store, "x", Report(holder.run_id, PUBLISH, said))


def _taken_up(sequence: int) -> RunEvent:
    return RunEvent(fact_taken_up=fact_events_pb2.FactTakenUp(sequence=sequence))


def _following(holder: Any, kind: Any, sequence: int) -> RunEvent:
    """What follows from an answer."""
    if kind == RETRY:
        return holder.started("b", "AT_MOST_ONCE", attempt=2, redo=1, resolution_sequence=sequence)
    outcome = instances_pb2.OUTCOME_SUCCEEDED if kind == DONE else instances_pb2.OUTCOME_FAILED
    cause = 0 if kind == DONE else instances_pb2.FAILURE_CAUSE_RESOLVED_FAILED
    return holder.settled("b", "AT_MOST_ONCE", resolution_sequence=sequence, outcome=outcome, cause=cause)
