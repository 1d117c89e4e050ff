"""Audit events are chained after they are committed: each once, whoever seals and however late one comes."""

import asyncio
from typing import Any

import asyncpg
import pytest
from sqlalchemy import delete, update

from perdure.audit.chain import SealedEvent, SignedHead, seal
from perdure.audit.checker import ChainChecker, Remembered
from perdure.audit.events import AuditType
from perdure.audit.signing import HeadKey, is_signed
from perdure_control_plane.domain.audit import SWEEPING, Act, ChainHead
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import Principal, SessionId
from perdure_control_plane.domain.queries import AuditFilter
from perdure_control_plane.storage.tables import audit_chain, audit_events, audit_heads
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.export_audit import export_audit
from perdure_control_plane.usecases.ports import Order
from perdure_control_plane.usecases.prune_audit import prune_audit
from perdure_control_plane.usecases.seal_audit import AT_ONCE, SIGN_AFTER, seal_audit
from perdure_services.chain_check import check_chain
from tests.conformance.stores import ON_POSTGRES

ADA = Caller(Principal("ada"), authenticated=True)
KEY = HeadKey(b"k" * 32)
SECOND = 1_000_000


async def record(house: Any, count: int, **fields: Any) -> None:
    """Writes so many events down, in one commit."""

    def body(tx: Any) -> None:
        for number in range(count):
            tx.audit.record(
                Act(**{"type": AuditType.RUN_PAUSED, "caller": ADA, "resource": f"runs/{number}", **fields})
            )

    await house.store.write(body, Order.GUARDED)


async def examined(house: Any, after: int = 0, **given: Any) -> tuple[ChainChecker, ChainHead]:
    """The chain as an export gives it, checked."""
    checker, end = ChainChecker(is_signed, **given), None
    async for piece in export_audit(house.store, after):
        match piece:
            case SealedEvent():
                checker.take(piece)
            case SignedHead():
                checker.take_head(piece)
            case ChainHead():
                end = piece
    assert end is not None
    checker.finish(end.position, end.hash)
    return checker, end


async def test_what_is_recorded_is_sealed_once_and_signed(house: Any, clock: Any) -> None:
    await record(house, 5)
    _, before = await examined(house)

    sealed = [await seal_audit(house.store, KEY) for _ in range(3)]
    checker, end = await examined(house, public_keys=[KEY.public_key])

    assert (before.position, before.unsealed_events) == (0, 5)
    assert sealed == [5, 0, 0]
    assert (checker.faults, checker.events, checker.signed) == ([], 5, 5)
    assert (end.position, end.unsealed_events) == (5, 0)


async def test_a_head_is_signed_every_minute_or_thousand_events_and_when_it_is_quiet(house: Any, clock: Any) -> None:
    await record(house, 1)
    await seal_audit(house.store, KEY)
    await record(house, 1)
    await seal_audit(house.store, KEY)
    soon, _ = await examined(house)
    clock.advance(61)
    await seal_audit(house.store, KEY)
    later, _ = await examined(house)
    await record(house, SIGN_AFTER)
    while await seal_audit(house.store, KEY) == AT_ONCE:
        pass
    many, _ = await examined(house)

    assert [one.signed for one in (soon, later)] == [1, 2]
    assert (many.faults, many.signed, many.events) == ([], SIGN_AFTER + 2, SIGN_AFTER + 2)


async def test_where_there_is_nothing_to_seal_nothing_is_written(house: Any, clock: Any) -> None:
    await record(house, 1)
    await seal_audit(house.store, KEY)
    clock.advance(3600)
    before = await house.counts()

    assert await seal_audit(house.store, KEY) == 0
    assert await house.counts() == before


async def test_many_who_seal_while_others_write_seal_each_event_once(house: Any) -> None:
    async def write(number: int) -> None:
        await create_session(house.store, ADA, SessionId(f"s{number}"), "")

    work = [write(number) for number in range(60)]
    sealing = [seal_audit(house.store, KEY) for _ in range(20)]
    await asyncio.gather(
        *(one for pair in zip(work, [*sealing, *[asyncio.sleep(0)] * 40], strict=True) for one in pair)
    )
    await seal_audit(house.store, KEY)
    checker, end = await examined(house)

    assert (checker.faults, checker.events, end.position, end.unsealed_events) == ([], 60, 60, 0)


@ON_POSTGRES
async def test_an_event_that_is_committed_late_is_sealed_behind_those_that_overtook_it(house: Any) -> None:
    await record(house, 1, resource="runs/first")
    url = house.store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    slow = await asyncpg.connect(url)
    late = slow.transaction()
    await late.start()
    # As a slow transaction leaves it: its id and time are older than all that is sealed meanwhile.
    columns = ", ".join(column.name for column in audit_events.c if column.name not in ("event_id", "resource"))
    await slow.execute(
        f"INSERT INTO audit_events (event_id, resource, {columns}) SELECT '0', 'runs/late', {columns} FROM audit_events"
    )
    await record(house, 1, resource="runs/overtakes")
    await seal_audit(house.store, KEY)
    meanwhile, _ = await examined(house)
    await late.commit()
    await slow.close()

    await seal_audit(house.store, KEY)
    checker, end = await examined(house)
    sealed = await house.store.read(lambda tx: tx.chain.sealed(0, 10))

    assert meanwhile.events == 2
    assert (checker.faults, end.unsealed_events) == ([], 0)
    assert [one.event.resource for one in sealed] == ["runs/first", "runs/overtakes", "runs/late"]


@ON_POSTGRES
async def test_who_seals_waits_for_whoever_has_the_end_of_the_chain(house: Any) -> None:
    await record(house, 1)
    await seal_audit(house.store, KEY)
    await record(house, 1)
    url = house.store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    other, looking = await asyncpg.connect(url), await asyncpg.connect(url)
    sealing_there = other.transaction()
    await sealing_there.start()
    end = await other.fetchrow("SELECT position, hash FROM audit_chain FOR UPDATE")

    sealing_here = asyncio.create_task(seal_audit(house.store, KEY))
    waiting = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not (waits_with := await looking.fetchval(waiting)):
        assert not sealing_here.done()
    (left,) = await house.store.read(lambda tx: tx.chain.unsealed(10))
    sealed = seal(left, end["position"] + 1, end["hash"])
    values = (sealed.event.event_id, sealed.position, sealed.previous_hash, sealed.hash)
    moved = "UPDATE audit_events SET position = $2, previous_hash = $3, hash = $4 WHERE event_id = $1"
    await other.execute(moved, *values)
    await other.execute("UPDATE audit_chain SET position = $1, hash = $2", sealed.position, sealed.hash)
    await sealing_there.commit()
    await asyncio.gather(other.close(), looking.close())

    # It has read and locked nothing yet, so whoever has the end gets on.
    assert waits_with.startswith("SELECT audit_chain")
    assert await sealing_here == 0
    checker, end_now = await examined(house)
    assert (checker.faults, checker.events, end_now.unsealed_events) == ([], 2, 0)


@pytest.mark.parametrize(
    ("bend", "position"),
    [
        (update(audit_events).where(audit_events.c.position == 9).values(principal="eve"), 9),
        (update(audit_events).where(audit_events.c.position == 9).values(details='{"has_reason": "true"}'), 9),
        (delete(audit_events).where(audit_events.c.position == 9), 9),
        (delete(audit_events).where(audit_events.c.position == 1), 1),
        (delete(audit_events).where(audit_events.c.position > 15), 16),
        (update(audit_chain).values(position=15), 15),
        (update(audit_heads).values(hash=b"x" * 32), 20),
    ],
    ids=["changed", "its details", "dropped", "the first dropped", "cut off", "another end", "another head"],
)
async def test_what_is_bent_in_the_store_is_found(house: Any, bend: Any, position: int) -> None:
    await record(house, 20)
    await seal_audit(house.store, KEY)
    await house.execute(bend)

    checker, _ = await examined(house)
    without_a_server = await house.store.read(check_chain)

    assert checker.first_fault is not None
    assert checker.first_fault.position == position
    assert without_a_server.faults == checker.faults


async def test_events_that_were_swapped_in_the_store_are_found(house: Any) -> None:
    await record(house, 20)
    await seal_audit(house.store, KEY)
    for before, after in ((9, 1000), (10, 9), (1000, 10)):
        moved = update(audit_events).where(audit_events.c.position == before).values(position=after)
        await house.execute(moved)

    checker, _ = await examined(house)

    assert checker.first_fault is not None
    assert checker.first_fault.position == 9


async def test_a_chain_cut_off_with_its_end_and_its_heads_is_found_by_who_remembers(house: Any) -> None:
    await record(house, 20)
    await seal_audit(house.store, KEY)
    whole, _ = await examined(house)
    await house.execute(delete(audit_events).where(audit_events.c.position > 15))
    await house.execute(delete(audit_heads))
    (last,) = await house.store.read(lambda tx: tx.chain.sealed(14, 10))
    await house.execute(update(audit_chain).values(position=15, hash=last.hash))

    unaware, _ = await examined(house)
    aware, _ = await examined(house, remembered=Remembered(20, whole.hash))

    assert unaware.faults == []
    assert aware.first_fault is not None
    assert aware.first_fault.position == 16


async def test_old_events_are_pruned_up_to_a_signed_head_and_the_rest_is_whole(house: Any, clock: Any) -> None:
    for _ in range(3):
        await record(house, 10)
        clock.advance(61)
        await seal_audit(house.store, KEY)
    await record(house, 3)
    known, _ = await examined(house)

    async def rest() -> None:
        checker, _ = await examined(house)
        assert checker.faults == []

    too_young = await prune_audit(house.store, 3600 * SECOND, rest)
    clock.advance(1)
    pruned = await prune_audit(house.store, 30 * SECOND, rest)
    again = await prune_audit(house.store, 30 * SECOND, rest)
    while await seal_audit(house.store, KEY):
        pass
    checker, end = await examined(house, remembered=Remembered(30, known.hash))

    assert (too_young, pruned, again) == (0, 20, 0)
    assert (checker.faults, checker.first, end.pruned_position) == ([], 21, 20)
    (told,) = await house.store.read(lambda tx: tx.audit.page(AuditFilter(), None, 1))
    assert (told.event.type, dict(told.event.details)) == ("audit.pruned", {"count": "20", "position": "20"})


async def test_pruning_goes_on_from_head_to_head(house: Any, clock: Any) -> None:
    for _ in range(4):
        await record(house, AT_ONCE)
        clock.advance(61)
        await seal_audit(house.store, KEY)
    clock.advance(3600)
    rests: list[int] = []

    async def rest() -> None:
        checker, _ = await examined(house)
        assert checker.faults == []
        rests.append(checker.first)

    assert await prune_audit(house.store, 60 * SECOND, rest) == 4 * AT_ONCE
    assert rests == [2 * AT_ONCE + 1, 0]


async def test_an_export_begins_after_a_position_and_reads_more_than_a_page(house: Any) -> None:
    await record(house, 2 * AT_ONCE + 7)
    while await seal_audit(house.store, KEY) == AT_ONCE:
        pass

    positions = [piece.position async for piece in export_audit(house.store, 3) if isinstance(piece, SealedEvent)]

    assert positions == list(range(4, 2 * AT_ONCE + 8))


async def test_a_list_is_narrowed_and_comes_latest_first(house: Any, clock: Any) -> None:
    start = clock.now
    for number in range(6):
        caller = ADA if number % 2 else SWEEPING
        await record(house, 1, resource=f"runs/{number}", caller=caller, type=[*AuditType][number % 3])
        clock.advance(1)

    async def listed(before: Any = None, limit: int = 10, **wanted: Any) -> list[str]:
        found = await house.store.read(lambda tx: tx.audit.page(AuditFilter(**wanted), before, limit))
        return [one.event.resource.removeprefix("runs/") for one in found]

    assert await listed() == ["5", "4", "3", "2", "1", "0"]
    assert await listed(principal="ada") == ["5", "3", "1"]
    assert await listed(types=(AuditType.RUN_CREATED,)) == ["3", "0"]
    assert await listed(resource="runs/2") == ["2"]
    assert await listed(start_at=start + SECOND, end_at=start + 3 * SECOND) == ["2", "1"]
    assert await listed(before=(start + 2 * SECOND, ""), limit=1) == ["1"]
