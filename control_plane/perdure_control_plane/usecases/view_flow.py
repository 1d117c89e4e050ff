"""Shows a flow: its status computed from everything that belongs to it, as it is now."""

from collections.abc import Iterable, Sequence

from perdure.runlog.instances import parse_instance
from perdure.runlog.states import RunState
from perdure_control_plane.domain.errors import DataCorrupt, NotFound, RunStateForbids, VersionUnsupported
from perdure_control_plane.domain.flow import (
    ContractCheck,
    Flow,
    FlowStatus,
    FlowView,
    Verdict,
    flow_verdict,
    is_settled,
)
from perdure_control_plane.domain.ids import FlowId, RunId
from perdure_control_plane.domain.playbook import Evidence
from perdure_control_plane.domain.queries import FlowFilter
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import fold, plan_of
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


def view_of_new(flow: Flow, root: Run) -> FlowView:
    """A flow whose root run was created in this transaction: it has nothing else yet."""
    runs = (root,)
    verdict = flow_verdict(flow, runs, ())
    return FlowView(
        flow=flow,
        status=verdict.status,
        decided_by=verdict.decided_by,
        settled=is_settled(runs),
        runs=runs,
        tasks=(),
        agents=(root.identity.agent_id,),
        approvals=(),
        contract=(),
    )


def _verdict(tx: Transaction, flow: Flow, runs: Sequence[Run]) -> tuple[Verdict, tuple[ContractCheck, ...]]:
    awaited = _awaited(tx, runs)
    verdict = flow_verdict(flow, runs, (), awaited=awaited)
    try:
        walked_to_end = _walked_to_end(tx, flow, verdict)
        if not (walked_to_end or verdict.status is FlowStatus.SUCCEEDED):
            return verdict, ()
        contract = _contract(tx, flow, runs)
    except (DataCorrupt, NotFound, VersionUnsupported):  # one flow that cannot be read must not hide the others
        return Verdict(FlowStatus.UNKNOWN, verdict.decided_by), ()
    return flow_verdict(flow, runs, contract, awaited=awaited, walked_to_end=walked_to_end), contract


def _awaited(tx: Transaction, runs: Sequence[Run]) -> dict[RunId, list[RunId]]:
    """Of each run that waits for nothing but the ends of its children: those."""
    paused = [
        run.run_id for run in runs if run.head.children and run.head.state is RunState.PAUSED and not run.head.held
    ]
    waits = tx.inbox.open_waits(paused) if paused else []
    others = {wait.run_id for wait in waits if wait.child_run_id is None}
    found: dict[RunId, list[RunId]] = {}
    for wait in waits:
        if wait.child_run_id is not None and wait.run_id not in others:
            found.setdefault(wait.run_id, []).append(wait.child_run_id)
    return found


def _walked_to_end(tx: Transaction, flow: Flow, verdict: Verdict) -> bool:
    if verdict != Verdict(FlowStatus.INTERRUPTED, f"runs/{flow.root_run_id}"):
        return False
    try:
        return fold(tx, flow.root_run_id).walk.complete
    except RunStateForbids:
        return False  # what its plan does not allow leads to no end of it


def _contract(tx: Transaction, flow: Flow, runs: Sequence[Run]) -> tuple[ContractCheck, ...]:
    root = next(run for run in runs if run.run_id == flow.root_run_id)
    required = plan_of(tx, root).message.required_evidence
    if not required:
        return ()
    version = tx.playbooks.get_version(flow.playbook_id, flow.version)
    attested = {(evidence.kind, evidence.id) for change in version.history for evidence in change.evidence}
    approved = {("approval", place) for place in _places(tx.approvals.passed_instances(flow.flow_id))}
    completed = {("task", place) for place in _places(tx.tasks.completed_instances(flow.flow_id))}
    held = attested | approved | completed
    return tuple(
        ContractCheck(Evidence(wanted.kind, wanted.id, wanted.description), (wanted.kind, wanted.id) in held)
        for wanted in required
    )


def _places(instances: Iterable[str]) -> set[str]:
    """Node ids of attempts; of a child run's, with those that lead to it: `rollout/smoke`."""
    return {"/".join(step.node for step in parse_instance(instance).path) for instance in instances}
