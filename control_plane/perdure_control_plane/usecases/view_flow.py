"""Shows a flow: its status computed from everything that belongs to it, as it is now."""

from collections.abc import Sequence

from perdure.runlog.instances import parse_instance
from perdure.v1 import plans_pb2
from perdure_control_plane.domain.approval import ApprovalState, Decision
from perdure_control_plane.domain.errors import DataCorrupt, VersionUnsupported
from perdure_control_plane.domain.flow import (
    ContractCheck,
    Flow,
    FlowStatus,
    FlowView,
    Verdict,
    flow_verdict,
    is_settled,
)
from perdure_control_plane.domain.ids import FlowId
from perdure_control_plane.domain.playbook import Evidence
from perdure_control_plane.domain.queries import ApprovalFilter, FlowFilter
from perdure_control_plane.domain.run import Run
from perdure_control_plane.domain.task import TaskState
from perdure_control_plane.usecases.fold_run import fold
from perdure_control_plane.usecases.ports import Store, Transaction


async def get_flow(store: Store, flow_id: FlowId) -> FlowView:
    """The flow as it is now. Raises NotFound."""
    return await store.read(lambda tx: view(tx, tx.flows.get(flow_id)))


async def list_flows(store: Store, wanted: FlowFilter, before: tuple[int, str] | None, limit: int) -> list[FlowView]:
    """Flows, the latest first, that come before a (creation, id)."""
    return await store.read(lambda tx: [view(tx, flow) for flow in tx.flows.page(wanted, before, limit)])


def view(tx: Transaction, flow: Flow) -> FlowView:
    """A flow inside a transaction."""
    runs = tx.runs.of_flow(flow.flow_id)
    verdict, contract = _verdict(tx, flow, runs)
    return FlowView(
        flow=flow,
        status=verdict.status,
        decided_by=verdict.decided_by,
        settled=is_settled(runs),
        runs=runs,
        tasks=tx.tasks.names_of_flow(flow.flow_id),
        agents=tuple(dict.fromkeys(run.identity.agent_id for run in runs)),
        approvals=tx.approvals.ids_of_flow(flow.flow_id),
        contract=contract,
    )


def _verdict(tx: Transaction, flow: Flow, runs: Sequence[Run]) -> tuple[Verdict, tuple[ContractCheck, ...]]:
    verdict = flow_verdict(flow, runs, ())
    walked_to_end = False
    if verdict == Verdict(FlowStatus.INTERRUPTED, f"runs/{flow.root_run_id}"):
        try:
            walked_to_end = fold(tx, flow.root_run_id).walk.complete
        except (DataCorrupt, VersionUnsupported):
            return Verdict(FlowStatus.UNKNOWN, verdict.decided_by), ()
    if not (walked_to_end or verdict.status is FlowStatus.SUCCEEDED):
        return verdict, ()
    contract = _contract(tx, flow, runs)
    return flow_verdict(flow, runs, contract, walked_to_end=walked_to_end), contract


def _contract(tx: Transaction, flow: Flow, runs: Sequence[Run]) -> tuple[ContractCheck, ...]:
    root = next(run for run in runs if run.run_id == flow.root_run_id)
    plan = plans_pb2.Plan.FromString(tx.playbooks.plan(root.identity.plan_digest))
    if not plan.required_evidence:
        return ()
    version = tx.playbooks.get_version(flow.playbook_id, flow.version)
    attested = {(evidence.kind, evidence.id) for change in version.history for evidence in change.evidence}
    held = attested | _approved_nodes(tx, flow) | _completed_nodes(tx, flow)
    return tuple(
        ContractCheck(Evidence(wanted.kind, wanted.id, wanted.description), (wanted.kind, wanted.id) in held)
        for wanted in plan.required_evidence
    )


def _approved_nodes(tx: Transaction, flow: Flow) -> set[tuple[str, str]]:
    decided = ApprovalFilter(states=(ApprovalState.DECIDED,), flow_id=flow.flow_id)
    approvals = [approval for approval, _ in tx.approvals.page(decided, None, 1000)]
    approved = [approval for approval in approvals if approval.decision is Decision.APPROVED]
    return {("approval", parse_instance(approval.instance).node) for approval in approved}


def _completed_nodes(tx: Transaction, flow: Flow) -> set[tuple[str, str]]:
    tasks = tx.tasks.page(flow.session_id, flow.root_run_id, None, 1000)
    completed = [task for task in tasks if task.state is TaskState.COMPLETED]
    return {("task", parse_instance(task.instance).node) for task in completed}
