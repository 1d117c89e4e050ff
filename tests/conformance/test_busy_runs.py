"""Runs whose holders write to them without a pause: whatever others do to them gets through at the first try."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from perdure.runlog.head import Hold, Stop
from perdure.runlog.instances import instance
from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import Decision
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import SECOND, Limits
from perdure_control_plane.domain.schedule import Misfire, Overlap
from perdure_control_plane.storage import postgres
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.usecases import sweep as sweeping
from perdure_control_plane.usecases.cancel_flow import cancel_flow
from perdure_control_plane.usecases.create_schedule import NewSchedule, create_schedule
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.fire_schedules import fire_schedules
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.hold_flow import HoldingFlow, pause_flow
from perdure_control_plane.usecases.open_store_life import follow_store_life, open_store_life
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.resolve_effect import Bounds, Resolution, resolve_effect
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.signal_run import Signalling, signal_run
from perdure_control_plane.usecases.start_flow import FlowStarter
from perdure_control_plane.usecases.stop_run import stop_run
from tests.conformance.conftest import asked_id, place
from tests.conformance.stores import ON_POSTGRES, go_back

pytestmark = ON_POSTGRES

Act = Callable[[Any, Any], Awaitable[Any]]

WAITING = """
playbook_id: busy
version: 1.0.0
title: Two branches
objective: One works while the other waits
nodes:
  - {id: a, type: function, function: noop, effect: none}
  - {id: w, type: wait, signal: paid}
  - {id: g, type: approval, prompt: "Go on?"}
"""


@pytest.fixture
async def busy(house: Any) -> Any:
    """The holder of a run that works and waits."""
    await house.start(WAITING, timeout_micros=8_000_000)
    (holder,) = await house.claim(await house.connect())
    opened = fact_events_pb2.WaitOpened(instance=place("w"), signal=fact_events_pb2.SignalWait(name="paid"))
    opened.timeout.FromSeconds(4)
    await holder.send(holder.started("a"), RunEvent(wait_opened=opened), *holder.asks("g"))
    return holder


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried a second time."""
    monkeypatch.setattr(postgres, "REPEATS", 1)


BEHIND = """
WITH RECURSIVE behind (pid) AS (
    SELECT pg_backend_pid()
    UNION SELECT waiting.pid FROM pg_locks waiting JOIN behind ON behind.pid = ANY (pg_blocking_pids(waiting.pid))
    WHERE NOT waiting.granted
)
SELECT count(*) - 1 FROM behind
"""
"""How many wait for this connection, or for one that does."""


@asynccontextmanager
async def written_to(store: PostgresStore, run_id: str) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """A run of which another transaction has written a new version that is not committed; gives what waits until others
    stand before it, or one of them is through."""
    connection = await asyncpg.connect(store.url.set(drivername="postgresql").render_as_string(hide_password=False))

    async def stand(*doing: Any) -> None:
        while not (any(one.done() for one in doing) or await connection.fetchval(BEHIND) == len(doing)):
            pass

    try:
        async with connection.transaction():
            await connection.execute("UPDATE runs SET next_ordinal = next_ordinal WHERE run_id = $1", run_id)
            yield stand
    finally:
        await connection.close()


async def cancel(house: Any, run: Any) -> None:
    await stop_run(house.store, OPEN_CALLER, run.run_id, Stop.CANCEL, "", "")


async def cancel_its_flow(house: Any, run: Any) -> None:
    await cancel_flow(house.store, OPEN_CALLER, (await house.run(run.run_id)).identity.flow_id, "", "")


async def pause(house: Any, run: Any) -> None:
    await pause_run(house.store, OPEN_CALLER, run.run_id, "", "")


async def pause_its_flow(house: Any, run: Any) -> None:
    flow_id = (await house.run(run.run_id)).identity.flow_id
    await pause_flow(house.store, OPEN_CALLER, HoldingFlow(flow_id, "", ""))


async def signal(house: Any, run: Any) -> None:
    await signal_run(house.store, Limits(), OPEN_CALLER, Signalling(run.run_id, "paid", b"{}", ""))


async def decide(house: Any, run: Any, attempt: int = 1) -> None:
    asked = await get_approval(house.store, house.keys, OPEN_CALLER, asked_id(run.run_id, "g", attempt))
    deciding = Deciding(asked.approval.approval_id, Decision.APPROVED, asked.token, "", "")
    await decide_approval(house.store, house.limits, house.keys, OPEN_CALLER, deciding)


async def sweep(house: Any, run: Any) -> None:
    assert (await house.sweep()).failed == {}


async def begin_a_new_life(house: Any, run: Any) -> None:
    begun = await open_store_life(house.store, None)
    await go_back(house, begun.mark.starts)
    await follow_store_life(house.store)


ACTS: dict[str, tuple[int, Act, str]] = {
    "a cancel": (0, cancel, "stop_requested"),
    "a cancel of its flow": (0, cancel_its_flow, "stop_requested"),
    "a pause": (0, pause, "fact_recorded"),
    "a pause of its flow": (0, pause_its_flow, "fact_recorded"),
    "a signal": (0, signal, "fact_recorded"),
    "a decision": (0, decide, "fact_recorded"),
    "the end of a time": (4, sweep, "fact_recorded"),
    "its deadline": (7, sweep, "stop_requested"),
    "a new life of the store": (0, begin_a_new_life, "lease_revoked"),
}


@pytest.mark.parametrize(("later", "act", "kind"), ACTS.values(), ids=list(ACTS))
async def test_what_is_done_to_a_run_that_is_being_written_to_waits_for_its_turn_and_is_done(
    house: Any, busy: Any, clock: Any, later: int, act: Act, kind: str
) -> None:
    for _ in range(later):
        clock.advance(1)
        await house.sweep()
    clock.advance(1)
    async with written_to(house.store, busy.run_id) as stand:
        doing = asyncio.ensure_future(act(house, busy))
        await stand(doing)
        assert not doing.done()

    await doing

    assert (await house.kinds(busy.run_id)).count(kind) == 1


async def test_a_wait_that_somebody_ends_while_a_sweep_waits_for_its_run_does_not_expire(
    house: Any, busy: Any, clock: Any
) -> None:
    await busy.send(*busy.asks("g", timeout_seconds=1, attempt=2))
    await house.sweep()
    clock.advance(2)
    async with written_to(house.store, busy.run_id) as stand:
        deciding = asyncio.ensure_future(decide(house, busy, attempt=2))
        await stand(deciding)
        sweeping = asyncio.ensure_future(house.sweep())
        await stand(deciding, sweeping)

    await deciding
    swept = await sweeping

    assert (swept.expired, swept.failed) == ([], {})
    assert (await house.kinds(busy.run_id)).count("fact_recorded") == 1


async def test_a_sweep_handles_the_others_where_a_transaction_stands_still_with_some(
    house: Any, busy: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "PATIENCE", 50)
    others = [await house.start(WAITING, timeout_micros=8_000_000) for _ in range(2)]
    for _ in range(8):
        await house.sweep()
        clock.advance(1)
    async with written_to(house.store, busy.run_id), written_to(house.store, others[0]):
        swept = await house.sweep()

    again = await house.sweep()

    assert set(swept.failed) == {busy.run_id, others[0]}
    assert all(isinstance(failure, StoreUnavailable) for failure in swept.failed.values())
    assert swept.ended == [others[1]]
    assert (again.failed, set(again.ended)) == ({}, {busy.run_id, others[0]})


@asynccontextmanager
async def writing(holder: Any) -> AsyncIterator[None]:
    """A holder that writes without a pause."""
    enough = asyncio.Event()

    async def write() -> None:
        while not enough.is_set():
            await holder.send(holder.log_line("a", "on and on"))

    busy = asyncio.ensure_future(write())
    yield
    enough.set()
    await busy


async def test_an_effect_in_doubt_is_answered_while_another_branch_goes_on(house: Any) -> None:
    await house.start(WAITING + "  - {id: p, type: function, function: noop, effect: at_most_once}\n")
    (holder,) = await house.claim(await house.connect())
    cause = instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT
    doubt = node_events_pb2.NodeInDoubt(instance=place("p"), cause=cause)
    await holder.send(holder.started("a"), holder.started("p", "AT_MOST_ONCE"), RunEvent(node_in_doubt=doubt))
    answer = Resolution(
        run_id=holder.run_id,
        instance=instance(place("p")),
        kind=fact_events_pb2.RESOLUTION_KIND_DONE,
        output=b"{}",
        report_sequence=0,
        reason="",
        request_id="",
    )

    async with writing(holder):
        run = await resolve_effect(house.store, Bounds(house.limits, house.timing), OPEN_CALLER, answer)

    assert run.head.in_doubt == 0


async def test_a_schedule_cancels_the_flow_before_though_that_is_written_to_without_a_pause(
    house: Any, clock: Any
) -> None:
    start = await house.asked(WAITING)
    asked = NewSchedule("often", start, "", 60 * SECOND, "UTC", Overlap.CANCEL_PREVIOUS, Misfire.SKIP, SECOND, 0, "")
    await create_schedule(house.store, FlowStarter(house.store, house.limits), OPEN_CALLER, asked)
    clock.advance(60)
    await fire_schedules(house.store, house.limits)
    (holder,) = await house.claim(await house.connect())
    await holder.send(holder.started("a"))
    clock.advance(60)

    async with writing(holder):
        fired = await fire_schedules(house.store, house.limits)

    assert (fired.schedules, fired.failed) == (["often"], {})
    assert (await house.run(holder.run_id)).head.stop is Stop.CANCEL


async def test_a_run_that_is_written_to_without_a_pause_is_paused_and_resumed_each_time(house: Any, busy: Any) -> None:
    async with writing(busy):
        for _ in range(10):
            await pause_run(house.store, OPEN_CALLER, busy.run_id, "", "")
            await resume_run(house.store, OPEN_CALLER, busy.run_id, "", "")
        held = (await house.run(busy.run_id)).head.holds
        await cancel(house, busy)

    run = await house.run(busy.run_id)
    assert (held, run.head.state, run.head.stop) == (Hold(0), RunState.RUNNING, Stop.CANCEL)
    assert (await house.kinds(busy.run_id)).count("fact_recorded") == 20
