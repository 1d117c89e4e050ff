"""What a flow is said to be: computed from its runs at every reading, and never stored."""

from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, update

from perdure.runlog import FOLD_VERSION
from perdure.runlog.head import Stop
from perdure.v1 import fact_events_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import Decision
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.flow import FlowStatus
from perdure_control_plane.domain.queries import FlowFilter
from perdure_control_plane.storage.tables import approvals, plans, playbook_versions, runs, tasks
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.view_flow import get_flow, list_flows
from tests.conformance.conftest import asked_id

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


async def _completed(house: Any, manifest: str) -> Any:
    """The run of a playbook of one step, which was taken."""
    run_id = await house.start(manifest)
    (holder,) = await house.claim(await house.connect())
    await holder.node("a")
    await holder.send(holder.ended())
    return await house.run(run_id)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (plans, {"plan": b"\xff"}),
        (plans, {"plan": b""}),
        (plans, {"digest": bytes(32)}),
        (playbook_versions, {"version": "0.9.0"}),
    ],
    ids=["a plan of damaged bytes", "another plan", "no plan", "no version"],
)
async def test_a_flow_whose_contract_cannot_be_read_is_unknown_and_stands_in_the_list(
    house: Any, table: Table, values: dict[str, Any]
) -> None:
    run = await _completed(house, ONE_STEP + EVIDENCE)
    (before,) = await house.execute(select(table))

    await house.execute(update(table).values(values))
    (view,) = await list_flows(house.store, FlowFilter(), None, 10)
    await house.execute(update(table).values(before._asdict()))

    assert (view.status, view.decided_by, view.settled) == (FlowStatus.UNKNOWN, run.name, True)


async def _add_copies(house: Any, table: Table, key: str, **fields: Any) -> None:
    """Adds more rows like the one in a table than any list of it has, with other values in some fields."""
    (row,) = await house.execute(select(table))
    copies = [row._asdict() | fields | {key: f"copy-{number}"} for number in range(1001)]
    await house.execute(insert(table).values(copies[:500]))
    await house.execute(insert(table).values(copies[500:]))


async def test_a_task_that_is_required_is_found_however_many_came_after_it(house: Any) -> None:
    run_id = await house.start(ONE_STEP + "required_evidence: [{kind: task, id: a}]")
    (holder,) = await house.claim(await house.connect())
    settled = holder.settled("a", task=node_events_pb2.TaskResult(exit_code=0))
    await holder.send(holder.started("a", command="true"), settled, holder.ended())
    later = {"started_at": (await house.run(run_id)).head.ended_at + 1}

    await _add_copies(house, tasks, "task_id", instance="b:1#1", **later)
    (view,) = await list_flows(house.store, FlowFilter(), None, 10)
    await house.execute(delete(tasks).where(tasks.c.instance == "b:1#1"))

    assert (view.status, [check.passed for check in view.contract]) == (FlowStatus.SUCCEEDED, [True])


async def test_an_approval_that_is_required_is_found_however_many_came_after_it(
    house: Any, manifests: dict[str, str]
) -> None:
    run_id = await house.start(manifests["gated"] + "required_evidence: [{kind: approval, id: gate}]")
    executor = await house.connect()
    (asking,) = await house.claim(executor)
    await asking.send(*asking.asks("gate"))
    await asking.send(asking.paused())
    shown = await get_approval(house.store, house.keys, OPEN_CALLER, asked_id(run_id))
    decision = Deciding(shown.approval.approval_id, Decision.APPROVED, shown.token, "", "")
    decided = await decide_approval(house.store, house.limits, house.keys, OPEN_CALLER, decision)
    (holder,) = await house.claim(executor)
    heard = fact_events_pb2.FactTakenUp(sequence=holder.seen)
    await holder.send(RunEvent(fact_taken_up=heard), holder.settled("gate"))
    await holder.node("after")
    await holder.send(holder.ended())

    await _add_copies(house, approvals, "approval_id", instance="after:1#1", closed_at=decided.closed_at + 1)
    (view,) = await list_flows(house.store, FlowFilter(), None, 10)
    await house.execute(delete(approvals).where(approvals.c.instance == "after:1#1"))

    assert (view.status, [check.passed for check in view.contract]) == (FlowStatus.SUCCEEDED, [True])
