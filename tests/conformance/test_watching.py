"""Following a flow, and ending one: what a watcher is told and when, and what a cancelled flow can still do."""

from typing import Any

import pytest

from perdure.runlog.states import RunState
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.flow import FlowStatus, FlowView
from perdure_control_plane.domain.ids import FlowId
from perdure_control_plane.usecases.cancel_flow import cancel_flow
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.watch_runs import Watcher


async def test_a_watcher_hears_of_the_flow_though_its_events_never_cease(house: Any, holder: Any) -> None:
    told: list[Any] = []

    async for item in _watched(house, await _flow_of(house, holder)):
        told.append(item)
        if isinstance(item, FlowView) or len(told) == 20:
            break
        await holder.send(holder.log_line("a", "one more"))

    assert isinstance(told[-1], FlowView)
    assert told[-1].status is FlowStatus.RUNNING


async def test_a_flow_is_told_after_the_events_that_made_it_so(house: Any, holder: Any) -> None:
    flow_id = await _flow_of(house, holder)
    told: list[Any] = []

    async for item in _watched(house, flow_id):
        told.append(item)
        if isinstance(item, FlowView) and not item.settled:
            await holder.send(holder.ended("FAILED"))

    kinds = [item.event.WhichOneof("kind") if isinstance(item, RecordedEvent) else str(item.status) for item in told]
    assert kinds[-3:] == ["RUNNING", "run_ended", "FAILED"]
    assert [item.sequence for item in told if isinstance(item, RecordedEvent)] == list(range(1, len(told) - 1))


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
async def test_a_cancelled_flow_cannot_be_continued_however_its_root_had_ended(
    house: Any, holder: Any, state: str
) -> None:
    await holder.send(holder.ended(state))

    shown = await cancel_flow(house.store, OPEN_CALLER, await _flow_of(house, holder), "no more of it", "")

    assert (shown.status, shown.settled) == (FlowStatus.CANCELLED, True)
    assert (await house.run(holder.run_id)).head.state is RunState.CANCELLED


async def _flow_of(house: Any, holder: Any) -> FlowId:
    run = await house.run(holder.run_id)
    flow_id: FlowId = run.identity.flow_id
    return flow_id


def _watched(house: Any, flow_id: FlowId) -> Any:
    changes = Changes()
    house.store.on_commit(changes.committed)
    return Watcher(house.store, changes, house.limits, heartbeat_seconds=10).flow(flow_id, {})
