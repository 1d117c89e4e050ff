"""What webhooks are told is on its way from the moment that it happened, and in one sender's hands at a time."""

import asyncio
import json
from typing import Any

import pytest

from perdure_control_plane.domain.approval_change import ApprovalChangeKind
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import NotFound, RequestIdReused
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.webhook import Delivery, Patience, Webhook
from perdure_control_plane.usecases.list_webhooks import list_webhooks
from perdure_control_plane.usecases.place_approval_changes import (
    KEEP_CHANGES,
    place_approval_changes,
    prune_approval_changes,
)
from perdure_control_plane.usecases.retain import retain
from perdure_control_plane.usecases.send_webhook import (
    AT_ONCE,
    KEEP_DELIVERIES,
    claim_deliveries,
    forget_deliveries,
    let_go_of_webhook,
    note_arrival,
    note_failure,
)
from perdure_control_plane.usecases.settle_delivery import Settling, drop_delivery, retry_delivery
from perdure_control_plane.usecases.spool_webhook import spool_webhook
from tests.conformance.test_deciding import decide
from tests.conformance.test_following_approvals import at_gate, no_rest, shown_of

ALL = Webhook("pager", "https://pager.example", frozenset(ApprovalChangeKind))
LEASE = 30 * SECOND
PATIENCE = Patience(3, 10 * SECOND)


async def spool(house: Any, webhook: Webhook = ALL) -> int:
    await place_approval_changes(house.store)
    return (await spool_webhook(house.store, webhook, "/perdure")).deliveries


async def claim(house: Any, sender: str = "a") -> list[Delivery]:
    return await claim_deliveries(house.store, ALL, sender, LEASE)


async def waiting(house: Any, manifests: Any, count: int = 1) -> list[Delivery]:
    """So many events on their way, to a webhook that was there before them."""
    await spool(house)
    for number in range(count):
        await at_gate(house, manifests, f"x{number}", timeout_seconds=3600)
    await spool(house)
    found = await house.store.read(lambda tx: tx.webhook_deliveries.page("pager", None, None, 100))
    assert len(found) == count
    return list(found)


async def test_what_happens_is_taken_in_once_from_when_the_webhook_was_new(house: Any, manifests: Any) -> None:
    before = await at_gate(house, manifests)
    only_decided = Webhook("few", "", frozenset({ApprovalChangeKind.DECIDED}))
    assert [await spool(house), await spool(house, only_decided)] == [0, 0]
    after = await at_gate(house, manifests, "y")
    await decide(house, await shown_of(house, before))

    taken = [await spool(house), await spool(house), await spool(house, only_decided)]

    assert taken == [2, 0, 1]
    found = await house.store.read(lambda tx: tx.webhook_deliveries.page("pager", None, None, 100))
    events = [json.loads(one.body) for one in found]
    assert sorted((event["type"], event["data"]["run"]) for event in events) == [
        ("dev.perdure.approval.decided", f"runs/{before.run_id}"),
        ("dev.perdure.approval.requested", f"runs/{after.run_id}"),
    ]
    assert [event["id"] for event in events] == [one.event_id for one in found]


async def test_two_servers_that_take_in_at_once_take_each_event_in_once(house: Any, manifests: Any) -> None:
    await spool(house)
    for number in range(5):
        await at_gate(house, manifests, f"x{number}")
    await place_approval_changes(house.store)

    taken = await asyncio.gather(*(spool_webhook(house.store, ALL, "/perdure") for _ in range(4)))

    assert sum(one.deliveries for one in taken) == 5
    assert (await house.counts())["webhook_deliveries"] == 5


async def test_what_is_on_its_way_outlives_its_flow_and_its_change(house: Any, manifests: Any, clock: Any) -> None:
    await spool(house)
    held = await at_gate(house, manifests)
    await spool(house)
    await decide(house, await shown_of(house, held))
    (again,) = await house.claim(await house.connect())
    await again.send(again.ended("FAILED"))
    clock.advance(100)
    await retain(house.store, 10 * SECOND, no_rest)

    (delivery,) = await claim(house)

    assert (await house.counts())["runs"] == 0
    assert json.loads(delivery.body)["data"]["run"] == f"runs/{held.run_id}"


async def test_a_webhook_that_nobody_has_looked_at_for_too_long_is_told_so(
    house: Any, manifests: Any, clock: Any
) -> None:
    await spool(house)
    await at_gate(house, manifests)
    await place_approval_changes(house.store)
    clock.advance(KEEP_CHANGES / SECOND + 1)
    await prune_approval_changes(house.store, no_rest)
    await at_gate(house, manifests, "y")
    await place_approval_changes(house.store)

    spooled = await spool_webhook(house.store, ALL, "/perdure")

    assert (spooled.deliveries, spooled.missed) == (1, True)
    assert not (await spool_webhook(house.store, ALL, "/perdure")).missed


async def test_one_sender_at_a_time_has_a_webhook(house: Any, manifests: Any, clock: Any) -> None:
    await waiting(house, manifests, AT_ONCE + 2)

    first, others = await claim(house), await claim(house, "b")
    second = await claim(house)
    await let_go_of_webhook(house.store, ALL, "b")
    assert await claim(house, "b") == []
    await let_go_of_webhook(house.store, ALL, "a")
    nothing = await claim(house, "b")
    clock.advance(LEASE / SECOND)
    after = await claim(house, "b")

    assert (len(first), others, len(second), nothing) == (AT_ONCE, [], 2, [])
    assert {one.attempts for one in [*first, *second]} == {1}
    assert {one.attempts for one in after} == {2}  # whoever was handed them never said what became of it


async def test_an_attempt_is_counted_before_it_is_made_and_pauses_grow(house: Any, manifests: Any, clock: Any) -> None:
    await waiting(house, manifests)
    pauses = []

    for _ in range(PATIENCE.attempts):
        (handed,) = await claim(house)
        pauses.append(await note_failure(house.store, handed, "it answered 500", PATIENCE, draw=1.0))
        assert await claim(house) == []
        clock.advance((pauses[-1] or 3600 * SECOND) / SECOND)

    assert pauses == [10 * SECOND, 20 * SECOND, None]
    assert await claim(house) == []
    (dead,) = await house.store.read(lambda tx: tx.webhook_deliveries.page("pager", True, None, 10))
    assert (dead.attempts, dead.failure, dead.is_dead) == (3, "it answered 500", True)


def test_a_pause_is_spread_and_never_longer_than_an_hour() -> None:
    patience = Patience(50, 5 * SECOND)

    assert [patience.pause(1, draw) for draw in (0.0, 0.5, 1.0)] == [2_500_000, 3_750_000, 5_000_000]
    assert patience.pause(49, 1.0) == 3600 * SECOND
    assert patience.pause(50, 1.0) is None


async def test_what_has_arrived_is_gone_and_counted(house: Any, manifests: Any, clock: Any) -> None:
    await waiting(house, manifests)
    (handed,) = await claim(house)

    await note_arrival(house.store, handed)
    await note_arrival(house.store, handed)

    (standing,) = await list_webhooks(house.store, ["pager"], "", 10)
    assert (standing.pending, standing.dead, standing.delivered, standing.delivered_at) == (0, 0, 1, clock.now)


async def test_what_a_sender_says_late_does_not_undo_what_came_after(house: Any, manifests: Any, clock: Any) -> None:
    (only,) = await waiting(house, manifests)
    (first,) = await claim(house)
    clock.advance(LEASE / SECOND)
    (second,) = await claim(house, "b")

    await note_failure(house.store, first, "no answer", Patience(1, SECOND), 1.0)
    await note_arrival(house.store, first)
    still = await house.store.read(lambda tx: tx.webhook_deliveries.get("pager", only.event_id))

    assert (still.attempts, still.is_dead, still.failure) == (second.attempts, False, "")


async def test_a_person_has_a_dead_letter_sent_again_or_drops_it(house: Any, manifests: Any) -> None:
    one, other = await waiting(house, manifests, 2)
    for handed in await claim(house):
        await note_failure(house.store, handed, "it answered 500", Patience(1, SECOND), 1.0)
    await let_go_of_webhook(house.store, ALL, "a")
    again, drop = Settling("pager", one.event_id, "", "r"), Settling("pager", other.event_id, "", "d")

    retried = await retry_delivery(house.store, OPEN_CALLER, again)
    await retry_delivery(house.store, OPEN_CALLER, again)
    await drop_delivery(house.store, OPEN_CALLER, drop)
    await drop_delivery(house.store, OPEN_CALLER, drop)

    (handed,) = await claim(house, "b")
    assert (retried.attempts, handed.event_id, handed.attempts) == (0, one.event_id, 1)
    assert handed.body == one.body
    with pytest.raises(NotFound):
        await drop_delivery(house.store, OPEN_CALLER, Settling("pager", other.event_id, "", "another"))
    with pytest.raises(NotFound):
        await retry_delivery(house.store, OPEN_CALLER, Settling("pager", "none", "", ""))
    with pytest.raises(RequestIdReused):
        await retry_delivery(house.store, OPEN_CALLER, Settling("pager", one.event_id, "why", "r"))


async def test_deliveries_and_webhooks_come_in_pages(house: Any, manifests: Any) -> None:
    all_of_them = await waiting(house, manifests, 3)
    first = all_of_them[0]

    rest = await house.store.read(
        lambda tx: tx.webhook_deliveries.page("pager", False, (first.occurred_at, first.event_id), 1)
    )

    assert rest == all_of_them[1:2]
    names = [each.name for each in await list_webhooks(house.store, ["zulu", "alpha"], "", 2)]
    assert names == ["alpha", "pager"]
    assert [each.name for each in await list_webhooks(house.store, ["zulu", "alpha"], "pager", 2)] == ["zulu"]


async def test_what_is_too_old_is_dropped(house: Any, manifests: Any, clock: Any) -> None:
    await waiting(house, manifests)
    clock.advance(KEEP_DELIVERIES / SECOND + 1)

    assert [await forget_deliveries(house.store), await forget_deliveries(house.store)] == [1, 0]
