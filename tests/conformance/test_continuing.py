"""Runs that have ended and go on: who may continue them, how often, and until when."""

from typing import Any

import pytest

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure.v1 import instances_pb2
from perdure_control_plane.domain import errors
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.continue_run import Continuing, continue_run
from perdure_control_plane.usecases.get_recovery import get_recovery
from perdure_control_plane.usecases.stop_run import stop_run


async def test_a_failed_run_is_continued_by_naming_its_end(house: Any, holder: Any) -> None:
    sequence = await _fail(house, holder)

    run = await continue_run(house.store, OPEN_CALLER, _continuing(holder, sequence))

    assert run.head.state is RunState.QUEUED
    assert (await house.kinds(holder.run_id))[-1] == "run_continued"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"answers_sequence": 3}, errors.AnswerStale),
        ({"reopen": ""}, errors.ContinueNeeds),
        ({"reopen": "b:1#1"}, errors.ContinueNeeds),
        ({"reopen": "nonsense"}, errors.ContinueNeeds),
    ],
)
async def test_a_continue_that_answers_something_else_is_refused(
    house: Any, holder: Any, change: dict[str, Any], error: Any
) -> None:
    sequence = await _fail(house, holder)
    before = await house.counts()

    with pytest.raises(error):
        await continue_run(house.store, OPEN_CALLER, _continuing(holder, sequence, **change))

    assert await house.counts() == before


async def test_a_deadline_outlives_an_interruption(house: Any, clock: Any) -> None:
    run_id, deadline = await _interrupted(house, clock)

    run = await continue_run(house.store, OPEN_CALLER, Continuing(run_id, 3, "", 0, 0, "", ""))

    assert deadline > 0
    assert run.head.deadline_at == deadline


async def test_a_deadline_that_has_passed_meanwhile_needs_a_new_one(house: Any, clock: Any) -> None:
    run_id, deadline = await _interrupted(house, clock)
    before = (await get_recovery(house.store, house.timing, run_id)).recovery.needs
    clock.advance(100)
    needs = (await get_recovery(house.store, house.timing, run_id)).recovery.needs

    with pytest.raises(errors.ContinueNeeds) as refused:
        await continue_run(house.store, OPEN_CALLER, Continuing(run_id, 3, "", 0, 0, "", ""))

    assert (before, needs, refused.value.metadata["needs"]) == ((), ("timeout",), "timeout")
    run = await continue_run(house.store, OPEN_CALLER, Continuing(run_id, 3, "", 0, 60 * SECOND, "", ""))
    assert run.head.deadline_at > deadline


async def _interrupted(house: Any, clock: Any) -> tuple[Any, int]:
    """A run with a deadline in 100 s, interrupted before anybody took it; and that deadline."""
    run_id = await house.start(timeout_micros=100 * SECOND)
    clock.advance(1)
    run = await stop_run(house.store, OPEN_CALLER, run_id, Stop.INTERRUPT, "", "")
    assert run.head.last_sequence == 3
    return run_id, run.head.deadline_at


async def test_two_people_cannot_continue_the_same_end(house: Any, holder: Any) -> None:
    sequence = await _fail(house, holder)
    await continue_run(house.store, OPEN_CALLER, _continuing(holder, sequence, request_id="first"))

    again = await continue_run(house.store, OPEN_CALLER, _continuing(holder, sequence, request_id="first"))
    with pytest.raises(errors.RunStateForbids):
        await continue_run(house.store, OPEN_CALLER, _continuing(holder, sequence, request_id="second"))

    assert again.head.state is RunState.QUEUED
    assert (await house.kinds(holder.run_id)).count("run_continued") == 1


async def test_a_completed_run_is_not_continued(house: Any, holder: Any) -> None:
    await holder.node("a")
    await holder.node("b", effect="AT_MOST_ONCE")
    await holder.send(holder.ended())

    with pytest.raises(errors.RunStateForbids):
        await continue_run(house.store, OPEN_CALLER, _continuing(holder, 8))


async def _fail(house: Any, holder: Any) -> int:
    """Ends the run at its failed first node; the sequence of the end."""
    failed = holder.settled("a", outcome=instances_pb2.OUTCOME_FAILED, cause=instances_pb2.FAILURE_CAUSE_EXIT_CODE)
    await holder.send(holder.started("a"), failed)
    await holder.send(holder.ended("FAILED", failed=failed.node_settled.instance))
    return (await house.run(holder.run_id)).head.last_sequence


def _continuing(holder: Any, sequence: int, **change: Any) -> Continuing:
    asked = {"answers_sequence": sequence, "reopen": "a:1#1", "request_id": "", **change}
    return Continuing(holder.run_id, asked["answers_sequence"], asked["reopen"], 1, 0, "mended", asked["request_id"])
