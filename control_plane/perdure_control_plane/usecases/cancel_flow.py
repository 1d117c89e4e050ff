"""Cancels a flow: its root run, for good."""

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.head import Stop
from perdure.runlog.states import FINAL
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.flow import FlowView
from perdure_control_plane.domain.ids import FlowId
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition
from perdure_control_plane.usecases.stop_run import stop_now
from perdure_control_plane.usecases.view_flow import view


async def cancel_flow(store: Store, caller: Caller, flow_id: FlowId, reason: str, request_id: str) -> FlowView:
    """Cancels the root run, also one that could be continued; a flow whose root has ended for good is returned as it is.

    Raises NotFound, RunStateForbids, RequestIdReused.
    """

    def body(tx: Transaction) -> FlowView:
        flow = tx.flows.get(flow_id)
        if not is_repetition(tx, caller, request_id, "CancelFlow", flow.name, reason):
            root = tx.runs.lock(flow.root_run_id)
            if root.head.state not in FINAL:
                after = stop_now(tx, root, Stop.CANCEL, reason, requested_by(caller))
                if after is not root:
                    details = {AuditDetail.FLOW: flow.name, **of_reason(reason)}
                    tx.audit.record(Act(AuditType.RUN_CANCELLED, caller, root.name, request_id, details))
        return view(tx, flow)

    return await store.write(body, Order.GUARDED)
