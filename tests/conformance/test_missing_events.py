"""A log that lacks an event which what is known of its run rests on: whoever asks is told that it is damaged."""

from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from perdure.runlog.kinds import KIND_NUMBERS
from perdure.v1 import instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.storage.tables import run_events
from perdure_control_plane.usecases.fold_run import FEW
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.take_snapshots import snapshot_run
from tests.conformance.conftest import place


@pytest.fixture(params=["node_in_doubt", "lease_revoked"])
async def why_in_doubt(request: pytest.FixtureRequest, house: Any, holder: Any, clock: Any) -> str:
    """The kind of the event since which an effect is in doubt: its holder said so, or its lease lapsed."""
    await holder.send(holder.started("b", "AT_MOST_ONCE"), *[holder.log_line("b", "more") for _ in range(FEW)])
    if request.param == "node_in_doubt":
        doubt = node_events_pb2.NodeInDoubt(instance=place("b"), cause=instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT)
        await holder.send(RunEvent(node_in_doubt=doubt))
    else:
        await house.sweep()
        for _ in range(7):
            clock.advance(5)
            await house.sweep()
    return str(request.param)


async def test_a_doubt_whose_event_is_gone_is_damage(house: Any, holder: Any, why_in_doubt: str) -> None:
    assert await snapshot_run(house.store, holder.run_id, FEW)
    before = await get_recovery(house.store, house.timing, holder.run_id)
    gone = (run_events.c.run_id == holder.run_id) & (run_events.c.kind == KIND_NUMBERS[why_in_doubt])
    ((*kept,),) = await house.execute(select(run_events).where(gone))

    await house.execute(delete(run_events).where(gone))
    with pytest.raises(DataCorrupt):
        await get_recovery(house.store, house.timing, holder.run_id)
    await house.execute(insert(run_events).values(kept))

    assert [str(one.effect.instance) for one in before.in_doubt] == ["b:1#1"]
    assert await get_recovery(house.store, house.timing, holder.run_id) == before
