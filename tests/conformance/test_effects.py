"""The effect ledger, and what stands against branching from a position, as a store has them."""

from typing import Any

import pytest

from perdure_control_plane.domain import errors
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.usecases.list_effects import list_checkpoints, list_effects


async def test_the_ledger_has_what_began_and_a_position_says_what_would_be_done_twice(house: Any, holder: Any) -> None:
    await holder.node("a", effect="IDEMPOTENT")
    await holder.send(holder.started("b", "AT_MOST_ONCE"))
    under_way = await list_checkpoints(house.store, holder.run_id, 0, 10)
    await holder.send(holder.settled("b", "AT_MOST_ONCE"), holder.ended())

    first, second = await list_effects(house.store, holder.run_id, 0, 10)
    after_a, after_b, end = await list_checkpoints(house.store, holder.run_id, 0, 10)

    assert (str(first.instance), first.executor_id, first.settled_sequence) == (
        "a:1#1",
        "x",
        after_a.checkpoint.sequence,
    )
    assert (str(second.instance), second.begun_sequence < second.settled_sequence) == ("b:1#1", True)
    assert [(one.safety.held, one.safety.repeats) for one in under_way] == [(True, 1)]
    assert (after_a.safety.repeats, after_a.safety.guarded_repeats, after_a.safety.safe) == (1, 1, False)
    assert (after_b.safety.safe, end.safety.safe) == (True, True)


async def test_effects_are_listed_from_where_the_last_page_ended(house: Any, holder: Any) -> None:
    await holder.node("a", effect="IDEMPOTENT")
    await holder.node("b", effect="AT_MOST_ONCE")

    (first,) = await list_effects(house.store, holder.run_id, 0, 1)
    rest = await list_effects(house.store, holder.run_id, first.begun_sequence, 10)

    assert [str(entry.instance) for entry in (first, *rest)] == ["a:1#1", "b:1#1"]


async def test_a_run_that_is_not_there_has_no_effects(house: Any) -> None:
    with pytest.raises(errors.NotFound):
        await list_effects(house.store, RunId("nobody"), 0, 10)
