"""A log is read in pieces, and a piece takes no more memory than it may have."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

MIB = 1 << 20


@pytest.fixture
async def long_log(holder: Any) -> Any:
    """A run whose log has 32 events of a MiB behind its first small ones."""
    text = b'"' + b"x" * MIB + b'"'
    await holder.send(holder.started("a"))
    for _ in range(32):
        await holder.send(holder.output("a", text))
    return holder


Reading = Callable[[Any, Any, int], list[Any]]


def of_run(tx: Any, run: Any, max_bytes: int) -> list[Any]:
    """A piece of a run's log, as its readers ask for it."""
    return list(tx.events.after(run.run_id, 0, limit=1000, max_bytes=max_bytes))


def of_session(tx: Any, run: Any, max_bytes: int) -> list[Any]:
    """A piece of a session's log."""
    found = tx.events.of_session(run.identity.session_id, (0, "", 0), limit=1000, max_bytes=max_bytes)
    return [event for _, event in found]


@pytest.mark.parametrize("reading", [of_run, of_session])
async def test_a_piece_of_a_long_log_takes_the_memory_of_that_piece(
    house: Any, long_log: Any, reading: Reading
) -> None:
    run = await house.run(long_log.run_id)
    await house.store.read(lambda tx: reading(tx, run, 1))  # what a first reading sets up is not counted

    tracemalloc.start()
    try:
        piece = await house.store.read(lambda tx: reading(tx, run, 2 * MIB + 4096))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [recorded.sequence for recorded in piece] == list(range(1, len(piece) + 1))
    assert [recorded.event.ByteSize() > MIB for recorded in piece][-3:] == [False, True, True]
    assert peak < 8 * MIB


@pytest.mark.parametrize("reading", [of_run, of_session])
async def test_the_first_event_of_a_piece_is_given_however_large(house: Any, holder: Any, reading: Reading) -> None:
    run = await house.run(holder.run_id)

    piece = await house.store.read(lambda tx: reading(tx, run, 1))

    assert [recorded.sequence for recorded in piece] == [1]
