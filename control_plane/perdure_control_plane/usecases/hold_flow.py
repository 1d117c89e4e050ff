"""Holds the runs of a flow, and releases them, each in a transaction of its own: no transaction moves two runs."""

from collections.abc import Callable
from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.head import Hold
from perdure.runlog.states import OVER
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.flow import FlowView
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.origin import Outside, requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.pause_run import pause_now
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition
from perdure_control_plane.usecases.resume_run import resume_now
from perdure_control_plane.usecases.view_flow import get_flow


@dataclass(frozen=True, slots=True)
class HoldingFlow:
    """Which flow is held or released, and why."""

    flow_id: FlowId
    reason: str
    request_id: str


@dataclass(frozen=True, slots=True)
class _Way:
    """What is done to runs of a flow, to which of them, and what that is called."""

    method: str
    type: AuditType
    move: Callable[[Transaction, Run, str, Outside], Run]
    concerns: Callable[[Run], bool]


async def pause_flow(store: Store, caller: Caller, asked: HoldingFlow) -> FlowView:
    """Places the operator's hold on each run that has not ended, the root first: under it no other run begins.

    Raises NotFound, RunStateForbids, StopStands, RequestIdReused.
    """
    return await _each_run(store, caller, asked, _Way("PauseFlow", AuditType.RUN_PAUSED, pause_now, _can_be_held))


async def resume_flow(store: Store, caller: Caller, asked: HoldingFlow) -> FlowView:
    """Releases the operator's hold of each run that has one. Raises NotFound, RunStateForbids, NotHeld, RequestIdReused."""
    return await _each_run(store, caller, asked, _Way("ResumeFlow", AuditType.RUN_RESUMED, resume_now, _is_held))


async def _each_run(store: Store, caller: Caller, asked: HoldingFlow, way: _Way) -> FlowView:
    flow_name, concerns = f"flows/{asked.flow_id}", way.concerns

    def move(tx: Transaction, run: Run) -> None:
        if way.move(tx, run, asked.reason, requested_by(caller)) is not run:
            details = {AuditDetail.FLOW: flow_name, **of_reason(asked.reason)}
            tx.audit.record(Act(way.type, caller, run.name, asked.request_id, details))

    def first(tx: Transaction) -> list[RunId]:
        flow = tx.flows.get(asked.flow_id)
        root = tx.runs.lock(flow.root_run_id)
        concerned = [run.run_id for run in tx.runs.of_flow(flow.flow_id) if run.run_id != root.run_id and concerns(run)]
        if not is_repetition(tx, caller, asked.request_id, way.method, flow.name, asked.reason) and (
            concerns(root) or not concerned
        ):
            move(tx, root)
        return concerned

    def next_one(tx: Transaction, run_id: RunId) -> None:
        run = tx.runs.lock(run_id)
        own_id = f"{asked.request_id}/{run_id}" if asked.request_id else ""
        if concerns(run) and not is_repetition(tx, caller, own_id, way.method, run.name, asked.reason):
            move(tx, run)

    def begun_since(tx: Transaction) -> list[RunId]:
        """Runs that others have started before it was their turn."""
        root = tx.flows.get(asked.flow_id).root_run_id
        known = {*done, root}
        return [run.run_id for run in tx.runs.of_flow(asked.flow_id) if run.run_id not in known and concerns(run)]

    done: set[RunId] = set()
    left = await store.write(first, Order.GUARDED)
    while left:
        for run_id in left:
            await store.write(lambda tx, run_id=run_id: next_one(tx, run_id), Order.GUARDED)  # type: ignore[misc]  # default binds now
        done.update(left)
        left = await store.read(begun_since)
    return await get_flow(store, asked.flow_id)


def _can_be_held(run: Run) -> bool:
    return run.head.state not in OVER and run.head.stop is None


def _is_held(run: Run) -> bool:
    return _can_be_held(run) and bool(run.head.holds & Hold.OPERATOR)
