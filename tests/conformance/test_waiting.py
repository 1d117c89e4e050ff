"""Waits for a time or a signal, at the store: who resolves them, when, and what is kept."""

import asyncio
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, instances_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.admission import Ack, Behind
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import FieldInvalid, InboxFull, RequestIdReused, RunStateForbids
from perdure_control_plane.domain.inbox import FactState
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.queries import RunCondition, RunFilter
from perdure_control_plane.usecases.explain_run import explain_run
from perdure_control_plane.usecases.signal_run import Signalling, signal_run
from perdure_control_plane.usecases.stop_run import Stop, stop_run
from tests.conformance.conftest import place

WAITS = """
playbook_id: waits
version: 1.0.0
title: Waits
objective: Wait
nodes:
  - {id: pause, type: wait, duration_seconds: 60}
  - {id: paid, type: wait, signal: payment, timeout_seconds: 60, depends: [pause],
     payload_schema: {type: object, properties: {amount: {type: integer}, of: {pattern: "^(a+)+$"}}}}
  - {id: after, type: function, function: noop, depends: [paid]}
"""


@pytest.fixture
async def waits(house: Any) -> Any:
    """An executor that holds a run with a node that waits for a moment, and one that waits for a signal."""
    await house.start(WAITS)
    (held,) = await house.claim(await house.connect())
    return held


def until(holder: Any, name: str, seconds: int = 60) -> RunEvent:
    opened = fact_events_pb2.WaitOpened(instance=place(name), timer=fact_events_pb2.TimerWait())
    opened.timeout.FromSeconds(seconds)
    return RunEvent(wait_opened=opened)


def payment(seconds: int = 60) -> RunEvent:
    opened = fact_events_pb2.WaitOpened(instance=place("paid"), signal=fact_events_pb2.SignalWait(name="payment"))
    opened.timeout.FromSeconds(seconds)
    return RunEvent(wait_opened=opened)


def taken(sequence: int) -> RunEvent:
    return RunEvent(fact_taken_up=fact_events_pb2.FactTakenUp(sequence=sequence, instance=place("paid")))


async def send(
    house: Any, run_id: Any, payload: bytes = b'{"amount":7}', signal: str = "payment", **fields: Any
) -> Any:
    asked = replace(Signalling(run_id, signal, payload, ""), **fields)
    return await signal_run(house.store, house.limits, OPEN_CALLER, asked)


async def inbox(house: Any, run_id: Any) -> list[tuple[str, FactState]]:
    found = await house.store.read(lambda tx: tx.inbox.facts(run_id, 0, 100))
    return [(fact.recorded.event.fact_recorded.WhichOneof("fact"), fact.state) for fact in found]


async def rest(house: Any, clock: Any, seconds: int) -> None:
    """Lets time go by while the store is swept."""
    for _ in range(seconds):
        clock.advance(1)
        await house.sweep()


async def test_a_moment_queues_the_run_when_it_comes_and_not_before(house: Any, clock: Any, waits: Any) -> None:
    await waits.send(until(waits, "pause", 30), waits.paused())
    clock.advance(1)
    first = await house.sweep()
    await rest(house, clock, 28)
    before = (await house.run(waits.run_id)).head.state

    clock.advance(1)
    swept = await house.sweep()

    assert first.next_at - first.swept_at == 29 * SECOND
    assert (before, swept.fired) == (RunState.PAUSED, [waits.run_id])
    assert (await house.run(waits.run_id)).head.state is RunState.QUEUED
    assert (await house.sweep()).fired == []


async def test_a_moment_comes_when_it_comes_though_the_store_was_away(house: Any, clock: Any, waits: Any) -> None:
    await house.sweep()
    await waits.send(until(waits, "pause", 30), waits.paused())

    clock.advance(100)
    outage = (await house.sweep()).outage
    clock.advance(1)

    assert outage is not None
    assert (await house.sweep()).fired == [waits.run_id]


async def test_whoever_signals_has_the_time_again_that_the_store_was_away(house: Any, clock: Any, waits: Any) -> None:
    await house.sweep()
    await waits.send(payment(30), waits.paused())
    clock.advance(100)
    await house.sweep()

    clock.advance(1)
    too_soon = await house.sweep()
    await rest(house, clock, 30)

    assert too_soon.expired == []
    assert (await inbox(house, waits.run_id)) == [("wait_expired", FactState.OPEN)]


async def test_two_control_planes_that_sweep_at_once_end_a_wait_once(house: Any, clock: Any, waits: Any) -> None:
    await waits.send(until(waits, "pause", 1), waits.paused())
    clock.advance(2)

    swept = await asyncio.gather(house.sweep(), house.sweep())

    assert all(one.fired in ([], [waits.run_id]) for one in swept)
    assert (await house.kinds(waits.run_id)).count("fact_recorded") == 1


async def test_a_signal_queues_the_run_that_waits_for_it(house: Any, waits: Any) -> None:
    await waits.send(payment(), waits.paused())

    run = await send(house, waits.run_id)

    assert run.head.state is RunState.QUEUED
    assert (await house.kinds(waits.run_id))[-2:] == ["fact_content", "fact_recorded"]
    assert await inbox(house, waits.run_id) == [("signal", FactState.OPEN)]


async def test_a_signal_that_comes_before_its_wait_is_kept_and_keeps_the_run_from_resting_without_it(
    house: Any, waits: Any
) -> None:
    run = await send(house, waits.run_id)
    sequence = run.head.last_sequence

    answer = await waits.send(payment(), waits.paused())
    waits.next_ordinal -= 1
    again = await waits.send(taken(sequence), seen=sequence, tail=1)

    assert isinstance(answer, Behind)
    assert isinstance(again, Ack)
    assert (await house.run(waits.run_id)).head.open_waits == 0
    assert await inbox(house, waits.run_id) == [("signal", FactState.TAKEN)]


async def test_a_wait_whose_signal_has_come_does_not_expire(house: Any, clock: Any, waits: Any) -> None:
    await waits.send(payment(5), waits.paused())
    await send(house, waits.run_id)

    await rest(house, clock, 10)

    assert await inbox(house, waits.run_id) == [("signal", FactState.OPEN)]


async def test_the_same_request_counts_once_and_another_under_its_id_is_refused(house: Any, waits: Any) -> None:
    await send(house, waits.run_id, request_id="one")
    before = await house.counts()
    await send(house, waits.run_id, request_id="one")
    after = await house.counts()

    with pytest.raises(RequestIdReused):
        await send(house, waits.run_id, b'{"amount":8}', request_id="one")

    assert before == after


async def test_a_run_keeps_so_many_signals_and_no_more(house: Any, waits: Any) -> None:
    house.limits = replace(house.limits, max_kept_signals=2)
    await send(house, waits.run_id)
    await send(house, waits.run_id)

    with pytest.raises(InboxFull) as refusal:
        await send(house, waits.run_id)

    assert refusal.value.metadata == {"run": f"runs/{waits.run_id}", "limit": "2"}


@pytest.mark.parametrize(
    ("payload", "signal", "field"),
    [(b"{}", "payed", "signal"), (b"[]", "payment", "payload"), (b'{"amount":"7"}', "payment", "payload.amount")],
)
async def test_what_no_node_has_a_use_for_is_refused_and_the_field_named(
    house: Any, waits: Any, payload: bytes, signal: str, field: str
) -> None:
    with pytest.raises(FieldInvalid) as refusal:
        await send(house, waits.run_id, payload, signal)

    assert [fault.field for fault in refusal.value.faults] == [field]


async def test_a_run_that_has_ended_takes_no_signal_and_what_it_kept_is_void_where_it_never_goes_on(
    house: Any, waits: Any
) -> None:
    await send(house, waits.run_id)
    await waits.send(payment())
    await stop_run(house.store, OPEN_CALLER, waits.run_id, Stop.CANCEL, "", "")
    await waits.send(waits.ended("CANCELLED"), seen=(await house.run(waits.run_id)).head.outside_sequence)

    with pytest.raises(RunStateForbids):
        await send(house, waits.run_id)

    assert await inbox(house, waits.run_id) == [("signal", FactState.STALE)]


async def test_runs_are_listed_by_what_they_wait_for(house: Any, waits: Any) -> None:
    async def listed(condition: RunCondition) -> list[Any]:
        wanted = RunFilter(conditions=(condition,))
        return [run.run_id for run in await house.store.read(lambda tx: tx.runs.page(wanted, None, 10))]

    await waits.send(payment(), waits.paused())

    found = {condition: await listed(condition) for condition in RunCondition}

    assert found == {condition: [] for condition in RunCondition} | {RunCondition.AWAITS_SIGNAL: [waits.run_id]}


async def test_what_comes_with_a_signal_is_what_its_digest_says(house: Any, waits: Any) -> None:
    await send(house, waits.run_id, b'{"amount":7}')

    events = await house.store.read(lambda tx: tx.events.after(waits.run_id, 0, limit=100, max_bytes=1 << 20))
    content, fact = (recorded.event for recorded in events[-2:])

    assert content.fact_content.json == b'{"amount":7}'
    assert fact.fact_recorded.signal.payload_digest == hashlib.sha256(b'{"amount":7}').digest()
    assert not fact.fact_recorded.signal.awaited


async def test_a_long_back_off_is_over_when_its_time_has_come(house: Any, clock: Any, holder: Any) -> None:
    cause = instances_pb2.FAILURE_CAUSE_EXIT_CODE
    failed = holder.settled("a", outcome=instances_pb2.OUTCOME_FAILED, cause=cause, message="it exited with 1")
    failed.node_settled.retry_delay.FromSeconds(20)
    opened = fact_events_pb2.WaitOpened(instance=place("a"), backoff=fact_events_pb2.BackoffWait())
    opened.timeout.FromSeconds(20)
    await holder.send(holder.started("a"), failed, RunEvent(wait_opened=opened), holder.paused())

    (reason,) = (await explain_run(house.store, house.timing, holder.run_id)).reasons
    await rest(house, clock, 21)

    assert (str(reason.why.instance), reason.why.message) == ("a:1#2", "it exited with 1")
    assert reason.next_check_at == reason.why.failed_at + 20 * SECOND
    assert (await house.run(holder.run_id)).head.state is RunState.QUEUED


async def test_a_signal_that_fits_no_pattern_is_refused_however_many_ways_there_are_to_read_it(
    house: Any, waits: Any
) -> None:
    await waits.send(payment())

    with pytest.raises(FieldInvalid, match=r"payload\.of"):
        await send(house, waits.run_id, b'{"of":"' + b"a" * 100 + b'!"}')

    assert await send(house, waits.run_id)
