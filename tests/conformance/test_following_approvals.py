"""What happens to approvals is told to whoever follows them: each change once, in one order, and none is passed over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration

from perdure.runlog.effects import approval_id
from perdure.runlog.instances import Instance, Step
from perdure.v1 import approval_facts_pb2, fact_events_pb2
from perdure.v1.decisions_pb2 import ON_TIMEOUT_ESCALATE, Escalation
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import Approval, ApprovalState, names_of
from perdure_control_plane.domain.approval_change import ApprovalChange, ChangesCursor
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import ResumeTokenExpired, ServerDraining
from perdure_control_plane.domain.ids import ApprovalId, FlowId, RunId, SessionId
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.usecases.cancel_flow import cancel_flow
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.place_approval_changes import (
    KEEP_CHANGES,
    place_approval_changes,
    prune_approval_changes,
)
from perdure_control_plane.usecases.retain import retain
from perdure_control_plane.usecases.watch_approvals import ApprovalNews, ApprovalWatcher, Heartbeat, SnapshotEnd
from tests.conformance.conftest import place
from tests.conformance.stores import ON_POSTGRES
from tests.conformance.test_deciding import decide
from tests.conformance.test_talking_about_approvals import comment, delegate, withdraw
from tests.conformance.test_voting import ADA, BOB, ROOT
from tests.conformance.test_waiting import rest

ANY = ApprovalFilter()
OF_OPEN = ApprovalFilter(states=(ApprovalState.OPEN,))


async def at_gate(house: Any, manifests: Any, name: str = "x", timeout_seconds: int = 60) -> Any:
    """A run whose gate asks."""
    await house.start(manifests["gated"])
    (held,) = await house.claim(await house.connect(name))
    await held.send(*question(held, timeout_seconds))
    await held.send(held.paused())
    return held


def question(held: Any, timeout_seconds: int = 60) -> list[Any]:
    """What opens the approval of a gate, under the one id that it may have."""
    shown, opened = held.asks("gate", timeout_seconds)
    opened.wait_opened.approval.approval_id = gate_id(held)
    return [shown, opened]


def gate_id(held: Any) -> ApprovalId:
    return ApprovalId(approval_id(held.run_id, Instance((Step("gate", 1),), 1)))


async def placed(house: Any, wanted: ApprovalFilter = ANY, after: int = 0) -> list[tuple[str, str]]:
    """Every change after a position, by what happened and to which run."""
    await place_approval_changes(house.store)
    changes, _ = await house.store.read(lambda tx: tx.approval_changes.after(after, wanted, 100))
    positions = [change.position for change in changes]
    assert positions == sorted(set(positions))
    return [(change.kind.value, change.approval.run_id) for change in changes]


async def watched(
    house: Any, cursor: ChangesCursor | None = None, *, snapshot: bool = False
) -> AsyncIterator[ApprovalNews]:
    """What a watcher is told until nothing is new."""
    watch = aiter(ApprovalWatcher(house.store, Changes(), heartbeat_seconds=0).watch(ANY, cursor, snapshot=snapshot))
    if not snapshot and (cursor is None or cursor.place is None):
        assert isinstance((await anext(watch)).item, Heartbeat)  # which tells where to go on
    async for news in watch:
        if isinstance(news.item, Heartbeat):
            return
        yield news


def told(news: ApprovalNews) -> tuple[str, str]:
    match news.item:
        case Approval():
            return "open", news.item.run_id
        case ApprovalChange():
            return news.item.kind.value, news.item.approval.run_id
        case SnapshotEnd():
            return "end", ""
    raise AssertionError(news)


async def test_what_happens_to_approvals_has_its_place_in_the_order_of_commits(
    house: Any, manifests: Any, clock: Any
) -> None:
    first = await at_gate(house, manifests)
    second = await at_gate(house, manifests, "y", timeout_seconds=10)
    third = await at_gate(house, manifests, "z")
    await place_approval_changes(house.store)
    await decide(house, await shown_of(house, first))
    await place_approval_changes(house.store)
    clock.advance(1)
    await house.sweep()
    clock.advance(11)
    await house.sweep()
    await place_approval_changes(house.store)
    flow_id = (await house.run(third.run_id)).identity.flow_id
    await cancel_flow(house.store, OPEN_CALLER, flow_id, "no more of it", "")

    happened = await placed(house)

    asked = [("OPENED", holder.run_id) for holder in (first, second, third)]
    assert sorted(happened[:3]) == sorted(asked)
    assert happened[3:] == [("DECIDED", first.run_id), ("EXPIRED", second.run_id), ("CLOSED", third.run_id)]


async def shown_of(house: Any, holder: Any) -> Any:
    return await get_approval(house.store, house.keys, OPEN_CALLER, gate_id(holder))


async def test_a_gate_that_its_holder_closes_is_told_as_closed(house: Any, gated: Any) -> None:
    await gated.send(*question(gated))
    await gated.send(gated.ended("FAILED"))

    assert await placed(house) == [("OPENED", gated.run_id), ("CLOSED", gated.run_id)]


async def test_what_is_no_approval_of_a_run_leaves_no_change(house: Any, holder: Any) -> None:
    await holder.node("a")
    await holder.send(holder.ended())

    assert await placed(house) == []


async def test_changes_are_told_by_run_flow_session_and_the_state_that_they_leave(house: Any, manifests: Any) -> None:
    one, other = await at_gate(house, manifests), await at_gate(house, manifests, "y")
    await decide(house, await shown_of(house, one))
    run = await house.run(one.run_id)

    of_one = [("OPENED", one.run_id), ("DECIDED", one.run_id)]
    assert await placed(house, ApprovalFilter(run_id=one.run_id)) == of_one
    assert await placed(house, ApprovalFilter(flow_id=run.identity.flow_id)) == of_one
    assert await placed(house, ApprovalFilter(run_id=RunId("none"))) == []
    assert await placed(house, ApprovalFilter(flow_id=FlowId("none"))) == []
    assert await placed(house, ApprovalFilter(session_id=SessionId("none"))) == []
    assert len(await placed(house, ApprovalFilter(session_id=SessionId("s")))) == 3
    assert sorted(await placed(house, OF_OPEN)) == sorted([("OPENED", one.run_id), ("OPENED", other.run_id)])
    assert await placed(house, ApprovalFilter(states=(ApprovalState.DECIDED,))) == [("DECIDED", one.run_id)]


async def test_a_snapshot_shows_what_is_open_and_then_what_happened_meanwhile(house: Any, manifests: Any) -> None:
    one, other = await at_gate(house, manifests), await at_gate(house, manifests, "y", timeout_seconds=30)
    await place_approval_changes(house.store)
    seen: list[tuple[str, str]] = []

    async for news in watched(house, snapshot=True):
        seen.append(told(news))
        if len(seen) == 1:
            await decide(house, await shown_of(house, one))
            await place_approval_changes(house.store)

    assert seen == [("open", other.run_id), ("open", one.run_id), ("end", ""), ("DECIDED", one.run_id)]


async def test_a_snapshot_that_broke_off_goes_on_where_it_was(house: Any, manifests: Any) -> None:
    one, other = await at_gate(house, manifests), await at_gate(house, manifests, "y", timeout_seconds=30)
    await place_approval_changes(house.store)
    first = await anext(aiter(watched(house, snapshot=True)))
    third = await at_gate(house, manifests, "z", timeout_seconds=20)
    await place_approval_changes(house.store)

    rest = [told(news) async for news in watched(house, first.cursor)]

    assert told(first) == ("open", other.run_id)
    # What was asked for since comes before the place where it goes on, and is told of afterwards.
    assert rest == [("open", one.run_id), ("end", ""), ("OPENED", third.run_id)]


async def test_every_token_on_the_way_goes_on_with_what_follows_it(house: Any, manifests: Any) -> None:
    holders = [await at_gate(house, manifests, name) for name in "abc"]
    await decide(house, await shown_of(house, holders[0]))
    await place_approval_changes(house.store)
    all_news = [news async for news in watched(house, ChangesCursor(0))]

    for number, news in enumerate(all_news, 1):
        rest = [told(later) async for later in watched(house, news.cursor)]
        assert rest == [told(later) for later in all_news[number:]]
    assert len(all_news) == 4


async def test_a_cursor_that_is_older_than_what_is_kept_is_refused(house: Any, manifests: Any, clock: Any) -> None:
    await at_gate(house, manifests)
    await place_approval_changes(house.store)
    clock.advance(KEEP_CHANGES / SECOND - 10)
    await at_gate(house, manifests, "y", timeout_seconds=9)
    await place_approval_changes(house.store)
    clock.advance(20)

    pruned = await prune_approval_changes(house.store, no_rest)

    assert pruned == 1
    with pytest.raises(ResumeTokenExpired):
        await anext(aiter(watched(house, ChangesCursor(0))))
    with pytest.raises(ResumeTokenExpired):
        await anext(aiter(watched(house, ChangesCursor(3))))
    assert [told(news)[0] async for news in watched(house, ChangesCursor(1))] == ["OPENED"]


async def no_rest() -> None:
    return None


async def test_a_watcher_that_falls_behind_what_is_kept_is_told_so(house: Any, manifests: Any, clock: Any) -> None:
    await at_gate(house, manifests)
    await place_approval_changes(house.store)
    watcher = ApprovalWatcher(house.store, Changes(), heartbeat_seconds=0)
    slow = aiter(watcher.watch(ANY, ChangesCursor(0), snapshot=False))
    await anext(slow)
    clock.advance(KEEP_CHANGES / SECOND + 1)

    await prune_approval_changes(house.store, no_rest)

    with pytest.raises(ResumeTokenExpired):
        await anext(slow)


async def test_changes_go_with_the_flow_that_is_deleted(house: Any, gated: Any, clock: Any) -> None:
    await gated.send(*question(gated))
    await gated.send(gated.ended("FAILED"))
    await place_approval_changes(house.store)
    clock.advance(100)

    await retain(house.store, 10 * SECOND, no_rest)

    assert (await house.counts())["approval_changes"] == 0
    assert await placed(house) == []


async def test_a_watcher_ends_when_the_server_does(house: Any) -> None:
    changes = Changes()
    watcher = ApprovalWatcher(house.store, changes, heartbeat_seconds=60)
    watch = aiter(watcher.watch(ANY, None, snapshot=False))
    await anext(watch)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)

    changes.drain()

    with pytest.raises(ServerDraining):
        await waiting


async def test_a_commit_that_changes_an_approval_says_so_and_others_do_not(house: Any, gated: Any) -> None:
    said: list[bool] = []
    house.store.on_commit(lambda committed: said.append(committed.approvals))

    await gated.send(gated.log_line("gate", "a line"))
    await gated.send(*question(gated))
    await gated.send(gated.paused())
    await decide(house, await shown_of(house, gated))

    assert said == [False, True, False, True]


@ON_POSTGRES
async def test_a_change_that_is_committed_late_is_told_to_those_who_are_past_its_time(
    house: Any, manifests: Any, clock: Any
) -> None:
    first = await at_gate(house, manifests)
    slow = await connection(house)
    late = slow.transaction()
    await late.start()
    # As a slow transaction leaves it: its time is older than all that is placed meanwhile.
    await slow.execute(
        "INSERT INTO approval_changes SELECT approval_id, 1, run_id, 'DECIDED', 1, 0 FROM approval_changes"
    )
    clock.advance(1)
    overtaking = await at_gate(house, manifests, "y")
    meanwhile = await placed(house)
    await late.commit()
    await slow.close()

    assert meanwhile == [("OPENED", first.run_id), ("OPENED", overtaking.run_id)]
    assert await placed(house, after=2) == [("DECIDED", first.run_id)]


@ON_POSTGRES
async def test_who_gives_places_waits_for_whoever_does_already(house: Any, manifests: Any) -> None:
    await at_gate(house, manifests)
    await place_approval_changes(house.store)
    await at_gate(house, manifests, "y")
    other, looking = await connection(house), await connection(house)
    placing_there = other.transaction()
    await placing_there.start()
    await other.execute("SELECT position FROM approval_changes_end FOR UPDATE")

    placing_here = asyncio.create_task(place_approval_changes(house.store))
    waiting = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not (waits_with := await looking.fetchval(waiting)):
        assert not placing_here.done()
    await other.execute("UPDATE approval_changes SET position = 2 WHERE position = 0")
    await other.execute("UPDATE approval_changes_end SET position = 2")
    await placing_there.commit()
    await asyncio.gather(other.close(), looking.close())

    # It has read and locked nothing yet, so whoever has the end gets on.
    assert waits_with.startswith("SELECT approval_changes_end")
    assert (await placing_here).position == 2
    assert len(await placed(house)) == 2


async def connection(house: Any) -> Any:
    return await asyncpg.connect(house.store.url.set(drivername="postgresql").render_as_string(hide_password=False))


async def test_what_has_happened_before_is_not_told_as_if_it_came_later(house: Any, manifests: Any) -> None:
    held = await at_gate(house, manifests)

    assert [told(news) async for news in watched(house)] == []
    await decide(house, await shown_of(house, held))
    assert [told(news) async for news in watched(house, snapshot=True)] == [("end", "")]


@pytest.mark.usefixtures("keys_of_people")
async def test_what_people_do_with_an_open_approval_is_told_as_it_happens(
    house: Any, manifests: Any, gated: Any, clock: Any
) -> None:
    ladder = [Escalation(to=["keys/bob"], timeout=Duration(seconds=600))]
    asked = {"assignees": ["keys/ada"], "on_timeout": ON_TIMEOUT_ESCALATE, "escalate_to": ladder}
    await house.sweep()
    await gated.send(*gated.asks("gate", reminders=[Duration(seconds=10)], **asked))
    await gated.send(gated.paused())
    await rest(house, clock, 11)
    await rest(house, clock, 60)
    await delegate(house, gate_id(gated), ADA, "keys/cy")
    await comment(house, gate_id(gated), ADA, "look at the end of it")
    await withdraw(house, gate_id(gated), ROOT)

    happened = await placed(house)

    run_id = gated.run_id
    assert happened[:3] == [("OPENED", run_id), ("REMINDED", run_id), ("ESCALATED", run_id)]
    assert happened[3:] == [(kind, run_id) for kind in ("DELEGATED", "COMMENTED", "CLOSED")]


async def test_what_asks_everybody_is_everybodys_also_when_it_was_escalated(house: Any, gated: Any, clock: Any) -> None:
    ladder = [Escalation(to=["keys/bob"])]
    await house.sweep()
    await gated.send(*gated.asks("gate", on_timeout=ON_TIMEOUT_ESCALATE, escalate_to=ladder))
    await gated.send(gated.paused())
    await rest(house, clock, 61)

    mine = [kind for kind, _ in await placed(house, ApprovalFilter(asks_one_of=names_of(ADA)))]

    assert mine == ["OPENED", "ESCALATED"]


@pytest.mark.parametrize("who", ["keys/ada", "keys/bob", "keys/cy"])
@pytest.mark.usefixtures("keys_of_people")
async def test_whoever_was_asked_once_hears_of_the_end_though_others_decide(house: Any, gated: Any, who: str) -> None:
    await gated.send(*gated.asks("gate", assignees=["keys/ada"]))
    await gated.send(gated.paused())
    await delegate(house, gate_id(gated), ADA, "keys/bob")
    await delegate(house, gate_id(gated), BOB, "keys/cy")
    await withdraw(house, gate_id(gated), ROOT)

    told_to = [kind for kind, _ in await placed(house, ApprovalFilter(assignees=(who,)))]
    listed = await house.store.read(lambda tx: tx.approvals.page(ApprovalFilter(assignees=(who,)), None, 10))

    assert told_to == ["OPENED", "DELEGATED", "DELEGATED", "CLOSED"]
    assert bool(listed) == (who == "keys/cy")


async def test_a_decision_that_is_void_is_told(house: Any, gated: Any) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    await decide(house, await shown_of(house, gated))
    (again,) = await house.claim(await house.connect())
    taken = fact_events_pb2.FactTakenUp(sequence=again.seen)
    await again.send(RunEvent(fact_taken_up=taken))
    void = approval_facts_pb2.ApprovalVoided(instance=place("gate"), frozen_digest=bytes(32), message="what changed")
    await again.send(RunEvent(approval_voided=void))

    assert [kind for kind, _ in await placed(house)] == ["OPENED", "DECIDED", "VOIDED"]
