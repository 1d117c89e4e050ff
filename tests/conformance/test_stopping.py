"""Stops: which of them stands, what is accepted under it, and where it ends a run."""

from typing import Any

import pytest

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure.v1 import execution_pb2
from perdure_control_plane.domain.admission import Ack, Behind, Refused
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import RunStateForbids, StopStands
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.stop_run import stop_run


async def stop(house: Any, run_id: RunId, kind: Stop) -> Run:
    return await stop_run(house.store, OPEN_CALLER, run_id, kind, "enough", "")


async def test_a_run_without_a_holder_ends_at_once(house: Any) -> None:
    run = await stop(house, await house.start(), Stop.INTERRUPT)

    assert run.head.state is RunState.INTERRUPTED
    assert await house.claim(await house.connect()) == []


async def test_a_holder_is_asked_and_ends_the_run_itself(house: Any, holder: Any) -> None:
    asked = await stop(house, holder.run_id, Stop.INTERRUPT)
    answer = await holder.send(holder.ended("INTERRUPTED"), seen=asked.head.last_sequence)

    assert asked.head.state is RunState.RUNNING
    assert isinstance(answer, Ack)
    assert (await house.kinds(holder.run_id))[-2:] == ["stop_requested", "run_ended"]


async def test_the_same_stop_again_changes_nothing(house: Any, holder: Any) -> None:
    await stop(house, holder.run_id, Stop.INTERRUPT)
    await stop(house, holder.run_id, Stop.INTERRUPT)

    assert (await house.kinds(holder.run_id)).count("stop_requested") == 1


@pytest.mark.parametrize(
    ("standing", "asked"),
    [(Stop.INTERRUPT, Stop.DEADLINE), (Stop.DEADLINE, Stop.INTERRUPT), (Stop.CANCEL, Stop.INTERRUPT)],
)
async def test_another_stop_is_refused_and_told_which_one_stands(
    house: Any, holder: Any, standing: Stop, asked: Stop
) -> None:
    await stop(house, holder.run_id, standing)

    with pytest.raises(StopStands, match=standing.value):
        await stop(house, holder.run_id, asked)

    assert (await house.run(holder.run_id)).head.stop is standing


@pytest.mark.parametrize("standing", [Stop.INTERRUPT, Stop.DEADLINE])
async def test_a_cancel_replaces_any_other(house: Any, holder: Any, standing: Stop) -> None:
    await stop(house, holder.run_id, standing)

    run = await stop(house, holder.run_id, Stop.CANCEL)

    assert run.head.stop is Stop.CANCEL


@pytest.mark.parametrize("knows", [True, False], ids=["its holder knows of", "its holder does not know of"])
async def test_a_question_is_not_asked_under_a_stop_that(house: Any, gated: Any, knows: bool) -> None:
    asked = await stop(house, gated.run_id, Stop.INTERRUPT)

    answer = await gated.send(*gated.asks("gate"), seen=asked.head.last_sequence if knows else 0)

    assert isinstance(answer, Refused if knows else Behind)
    assert "wait_opened" not in await house.kinds(gated.run_id)
    if knows:
        assert answer.reason == execution_pb2.REFUSAL_REASON_ILLEGAL_STATE


async def test_an_interrupted_run_can_still_be_cancelled_and_a_cancelled_one_nothing(house: Any) -> None:
    run_id = await house.start()
    await stop(house, run_id, Stop.INTERRUPT)

    abandoned = await stop(house, run_id, Stop.CANCEL)

    assert abandoned.head.state is RunState.CANCELLED
    with pytest.raises(RunStateForbids):
        await stop(house, run_id, Stop.INTERRUPT)


async def test_a_deadline_that_passes_under_another_stop_leaves_that_one_standing(house: Any, clock: Any) -> None:
    run_id = await house.start(timeout_micros=5_000_000)
    (holder,) = await house.claim(await house.connect())
    await house.sweep()
    await stop(house, run_id, Stop.INTERRUPT)

    clock.advance(6)
    await house.sweep()

    assert (await house.run(holder.run_id)).head.stop is Stop.INTERRUPT
