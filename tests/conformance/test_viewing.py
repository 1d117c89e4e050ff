"""What a flow is said to be: computed from its runs at every reading, and never stored."""

from typing import Any

import pytest
from sqlalchemy import update

from perdure.runlog import FOLD_VERSION
from perdure.runlog.head import Stop
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.flow import FlowStatus
from perdure_control_plane.domain.queries import FlowFilter
from perdure_control_plane.storage.tables import runs
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.view_flow import get_flow, list_flows

ONE_STEP = """
playbook_id: one-step
version: 1.0.0
title: One step
objective: Take it
nodes:
  - {id: a, type: function, function: noop, effect: none}
"""

EVIDENCE = """
required_evidence: [{kind: ticket, id: change-1}]
"""


async def _interrupted(house: Any, clock: Any, manifest: str, *steps: str) -> Any:
    """The flow of a run whose holder took some steps, fell silent, and lost it under an interrupt."""
    run_id = await house.start(manifest)
    (holder,) = await house.claim(await house.connect())
    for step in steps:
        await holder.send(holder.started(step), holder.settled(step))
    await house.sweep()
    await stop_run(house.store, OPEN_CALLER, run_id, Stop.INTERRUPT, "", "")
    for _ in range(house.timing.lease // 5_000_000 + 1):
        clock.advance(5)
        await house.sweep()
    run = await house.run(run_id)
    return await get_flow(house.store, run.identity.flow_id)


async def test_a_flow_whose_root_was_interrupted_with_work_left_is_interrupted(house: Any, clock: Any) -> None:
    view = await _interrupted(house, clock, ONE_STEP)

    assert (view.status, view.decided_by) == (FlowStatus.INTERRUPTED, view.runs[0].name)
    assert view.settled


@pytest.mark.parametrize(
    ("manifest", "status"), [(ONE_STEP, FlowStatus.SUCCEEDED), (ONE_STEP + EVIDENCE, FlowStatus.FAILED)]
)
async def test_an_interrupted_root_that_had_nothing_left_to_do_counts_as_complete(
    house: Any, clock: Any, manifest: str, status: FlowStatus
) -> None:
    view = await _interrupted(house, clock, manifest, "a")

    assert view.runs[0].head.state == "INTERRUPTED"
    assert (view.status, view.settled) == (status, True)


async def test_a_flow_whose_root_only_a_newer_server_can_read_is_unknown_and_stands_in_the_list(
    house: Any, clock: Any
) -> None:
    await _interrupted(house, clock, ONE_STEP)
    await house.execute(update(runs).values(fold_version=FOLD_VERSION + 1))

    (view,) = await list_flows(house.store, FlowFilter(), None, 10)
    await house.execute(update(runs).values(fold_version=FOLD_VERSION))

    assert (view.status, view.decided_by) == (FlowStatus.UNKNOWN, view.runs[0].name)
