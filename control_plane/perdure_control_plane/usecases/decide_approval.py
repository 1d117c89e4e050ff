"""Takes a person's decision."""

from dataclasses import dataclass, replace

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.instances import parse_instance
from perdure.v1 import fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import (
    Approval,
    ApprovalState,
    Decision,
    TokenKeys,
    check_decidable,
)
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.get_approval import subject_of
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Deciding:
    """What is decided, with the token that binds it to what was shown."""

    approval_id: ApprovalId
    decision: Decision
    token: str
    reason: str
    request_id: str


async def decide_approval(store: Store, keys: TokenKeys, caller: Caller, asked: Deciding) -> Approval:
    """Records a decision; the first one wins. The same decision again returns the first answer.

    Raises FieldInvalid, NotFound, TokenMismatch, ApprovalClosed, ApprovalDecided, DecisionNotAllowed, RequestIdReused.
    """
    if asked.decision is Decision.REJECTED and not asked.reason.strip():
        raise field_invalid("reason", "is required to reject; whoever mends it reads it")

    def body(tx: Transaction) -> Approval:
        known = tx.approvals.get(asked.approval_id)
        keys.check(known, asked.token)
        run = tx.runs.lock(known.run_id)
        approval = tx.approvals.get(asked.approval_id)
        content = (asked.decision.value, asked.reason)
        repeated = is_repetition(tx, caller, asked.request_id, "DecideApproval", approval.name, *content)
        if not repeated and not _is_decided_so(approval, caller, asked):
            check_decidable(approval, asked.decision)
            _record(tx, run, caller, approval, asked)
            tx.audit.record(
                Act(AuditType.HUMAN_DECISION, caller, approval.name, asked.request_id, _details(run, asked))
            )
            approval = tx.approvals.get(asked.approval_id)
        return replace(approval, subject=subject_of(tx, approval))

    return await store.write(body, Order.GUARDED)


def _details(run: Run, asked: Deciding) -> dict[AuditDetail, str]:
    return {AuditDetail.RUN: run.name, AuditDetail.DECISION: asked.decision.value, **of_reason(asked.reason)}


def _is_decided_so(approval: Approval, caller: Caller, asked: Deciding) -> bool:
    return (
        approval.state is ApprovalState.DECIDED
        and (approval.decision, approval.reason) == (asked.decision, asked.reason)
        and approval.decider == caller.principal
    )


def _record(tx: Transaction, run: Run, caller: Caller, approval: Approval, asked: Deciding) -> None:
    decision = fact_events_pb2.Decision(
        approval_id=approval.approval_id,
        kind=fact_events_pb2.DecisionKind.Value(f"DECISION_KIND_{asked.decision}"),
        decider=caller.principal,
        authenticated=caller.authenticated,
        subject_digest=approval.subject_digest,
        reason=asked.reason,
    )
    where = parse_instance(approval.instance).message()
    recorded = fact_events_pb2.FactRecorded(instance=where, decision=decision)
    tx.log.append(run, [RunEvent(fact_recorded=recorded)], requested_by(caller))
