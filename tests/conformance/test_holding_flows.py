"""Flows that an operator holds: every run of theirs, each for itself."""

from typing import Any

import pytest

from perdure.runlog.head import Hold, Stop
from perdure.runlog.states import RunState
from perdure.v1 import instances_pb2
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import NotHeld, RequestIdReused, RunStateForbids
from perdure_control_plane.domain.flow import FlowStatus
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.hold_flow import HoldingFlow, pause_flow, resume_flow
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.resume_run import resume_run
from perdure_control_plane.usecases.stop_run import stop_run


@pytest.fixture
async def family(house: Any) -> tuple[FlowId, RunId, RunId]:
    """A flow with its root run, and another run of it."""
    root, child = await house.start(), RunId("child")
    flow_id = (await house.run(root)).identity.flow_id

    def bear(tx: SqlTransaction) -> None:
        created, given = tx.events.after(root, 0, limit=2, max_bytes=1 << 20)
        tx.log.create(child, [_of_child(created, root), given.event], requested_by(OPEN_CALLER))

    await house.store.write(bear)
    return flow_id, root, child


def _of_child(created: RecordedEvent, root: RunId) -> RunEvent:
    event = RunEvent()
    event.CopyFrom(created.event)
    event.run_created.lineage.parent_run_id = root
    event.run_created.lineage.prefix.append(instances_pb2.PathStep(node="a", visit=1))
    return event


async def pause(house: Any, flow_id: FlowId, request_id: str = "", reason: str = "why") -> Any:
    return await pause_flow(house.store, OPEN_CALLER, HoldingFlow(flow_id, reason, request_id))


async def resume(house: Any, flow_id: FlowId, request_id: str = "") -> Any:
    return await resume_flow(house.store, OPEN_CALLER, HoldingFlow(flow_id, "go", request_id))


async def states(house: Any, *run_ids: RunId) -> list[RunState]:
    return [(await house.run(run_id)).head.state for run_id in run_ids]


async def test_every_run_of_a_flow_is_held_and_released(house: Any, family: Any) -> None:
    flow_id, *run_ids = family

    paused = await pause(house, flow_id)
    held = await states(house, *run_ids)
    resumed = await resume(house, flow_id)

    assert held == [RunState.PAUSED] * 2
    assert (paused.status, resumed.status) == (FlowStatus.WAITING, FlowStatus.RUNNING)
    assert await states(house, *run_ids) == [RunState.QUEUED] * 2


async def test_a_run_that_has_ended_is_left_as_it_is_and_one_that_was_held_already_keeps_its_hold(
    house: Any, family: Any
) -> None:
    flow_id, root, child = family
    await pause_run(house.store, OPEN_CALLER, root, "before", "")
    await stop_run(house.store, OPEN_CALLER, child, Stop.CANCEL, "", "")

    await pause(house, flow_id)

    assert await states(house, root, child) == [RunState.PAUSED, RunState.CANCELLED]
    assert (await house.kinds(root)).count("fact_recorded") == 1


async def test_a_run_that_is_paused_alone_is_resumed_with_its_flow(house: Any, family: Any) -> None:
    flow_id, root, child = family
    await pause_run(house.store, OPEN_CALLER, child, "", "")

    await resume(house, flow_id)

    assert await states(house, root, child) == [RunState.QUEUED] * 2
    assert "fact_recorded" not in await house.kinds(root)


async def test_a_flow_of_which_nothing_is_held_is_not_resumed_and_one_that_has_ended_not_held(
    house: Any, family: Any
) -> None:
    flow_id, root, child = family
    with pytest.raises(NotHeld):
        await resume(house, flow_id)
    for run_id in (root, child):
        await stop_run(house.store, OPEN_CALLER, run_id, Stop.CANCEL, "", "")

    for control in (pause, resume):
        with pytest.raises(RunStateForbids):
            await control(house, flow_id)


async def test_a_repetition_holds_what_the_first_call_left_out_and_nothing_that_was_released_since(
    house: Any, family: Any
) -> None:
    flow_id, root, child = family
    await pause(house, flow_id, "r-1")
    await resume_run(house.store, OPEN_CALLER, child, "", "")
    before = await house.counts()

    await pause(house, flow_id, "r-1")

    assert await states(house, root, child) == [RunState.PAUSED, RunState.QUEUED]
    assert await house.counts() == before
    with pytest.raises(RequestIdReused):
        await pause(house, flow_id, "r-1", "another reason")


async def test_a_call_that_broke_off_is_completed_by_its_repetition(
    house: Any, family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow_id, root, child = family
    write, calls = house.store.write, []

    async def break_off(body: Any, *order: Any) -> Any:
        calls.append(body)
        if len(calls) == 2:
            raise ConnectionError("the server was killed")
        return await write(body, *order)

    monkeypatch.setattr(house.store, "write", break_off)
    with pytest.raises(ConnectionError):
        await pause(house, flow_id, "r-1")
    halfway = await states(house, root, child)

    await pause(house, flow_id, "r-1")

    assert halfway == [RunState.PAUSED, RunState.QUEUED]
    assert [(await house.run(run_id)).head.holds for run_id in (root, child)] == [Hold.OPERATOR] * 2
