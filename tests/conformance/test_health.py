"""Health has one answer for each thing that serving depends on."""

import asyncio
import contextlib
import pathlib
import sqlite3
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from perdure_control_plane.api.health import SERVICES, Health
from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.storage.sqlite import SqliteStore


async def answers(health: Health) -> dict[str, bool]:
    """Whether each dependency serves, after another look."""
    await health.look()
    found: dict[str, Any] = {}
    for service in ("", *SERVICES):
        asked = health_pb2.HealthCheckRequest(service=service)
        found[service] = await health.servicer.Check(asked, None)
    return {service: answer.status == answer.SERVING for service, answer in found.items()}


@pytest.fixture
def health(house: Any) -> Health:
    return Health(house.store, Limits(max_queued_runs=1))


async def test_a_store_that_nobody_works_for_serves_all_the_same(health: Health) -> None:
    found = await answers(health)

    assert found == {"": True, "store": True, "journal": True, "queue": True, "executors": False}


async def test_executors_are_there_while_the_lease_of_one_runs(house: Any, health: Health, clock: Any) -> None:
    await house.connect()
    there = (await answers(health))["executors"]

    clock.advance(house.timing.lease / 1e6 + 1)
    gone = (await answers(health))["executors"]

    assert (there, gone) == (True, False)


async def test_a_write_that_is_never_answered_is_told(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.Event()
    monkeypatch.setattr(house.store, "write", lambda *_: never.wait())

    found = await answers(Health(house.store, Limits(), interval_seconds=0.01))

    assert (found[""], found["journal"], found["store"]) == (False, False, True)


async def test_a_full_queue_is_told_and_stops_nothing_else(house: Any, health: Health) -> None:
    await house.start()

    found = await answers(health)

    assert found["queue"] is False
    assert found[""] is True


async def test_a_store_that_cannot_be_read_is_told_and_looked_at_again(tmp_path: pathlib.Path, clock: Any) -> None:
    damaged = SqliteStore(tmp_path / "damaged", clock)
    await damaged.open()
    with contextlib.closing(sqlite3.connect(damaged.path)) as other:
        other.execute("ALTER TABLE run_queue RENAME TO elsewhere")
        health = Health(damaged, Limits())
        broken = await answers(health)
        other.execute("ALTER TABLE elsewhere RENAME TO run_queue")
        mended = await answers(health)
    await damaged.close()

    assert (broken[""], broken["store"], broken["journal"]) == (False, False, True)
    assert (mended[""], mended["store"]) == (True, True)


async def test_a_damaged_database_is_a_refusal_with_a_reason_when_it_is_read(
    tmp_path: pathlib.Path, clock: Any
) -> None:
    store = SqliteStore(tmp_path / "damaged", clock)
    await store.open()
    for file in (store.path, store.path.with_name(f"{store.path.name}-wal")):
        content = file.read_bytes()
        file.write_bytes(b"\x7f" * len(content))

    with pytest.raises(StoreUnavailable, match=r"damaged|not a database"):
        await store.read(lambda tx: tx.runs.count_queued())
    await store.close()
