"""Approvals as messages."""

from perdure.v1 import approvals_pb2, decisions_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.approval import Approval, Decision
from perdure_control_plane.domain.approval_change import ApprovalChange


def approval(value: Approval, token: str = "") -> approvals_pb2.Approval:
    """An approval; with its subject where it was read."""
    return approvals_pb2.Approval(
        name=value.name,
        run=f"runs/{value.run_id}",
        flow=f"flows/{value.flow_id}",
        instance=value.instance,
        state=approvals_pb2.Approval.State.Value(f"STATE_{value.state}"),
        decision=_decision(value.decision) if value.decision is not None else decisions_pb2.DECISION_KIND_UNSPECIFIED,
        decider=value.decider or "",
        authenticated=value.authenticated,
        reason=value.reason,
        kind=decisions_pb2.ApprovalKind.Value(f"APPROVAL_KIND_{value.kind}"),
        options=value.options,
        selected_option=value.selected_option,
        four_eyes=[decisions_pb2.FourEyes.Value(f"FOUR_EYES_{rule}") for rule in value.four_eyes],
        content=value.content,
        content_digest=value.content_digest.hex(),
        allowed=[_decision(decision) for decision in value.allowed],
        prompt=value.prompt,
        subject=value.subject,
        subject_digest=value.subject_digest.hex(),
        plan_digest=value.plan_digest.hex(),
        token=token,
        create_time=timestamp(value.created_at),
        deadline_time=timestamp(value.deadline_at),
        close_time=timestamp(value.closed_at),
    )


def approval_change(value: ApprovalChange) -> approvals_pb2.ApprovalChange:
    """What happened to an approval."""
    return approvals_pb2.ApprovalChange(
        kind=approvals_pb2.ApprovalChange.Kind.Value(f"KIND_{value.kind}"),
        sequence=value.sequence,
        change_time=timestamp(value.changed_at),
        approval=approval(value.approval),
    )


def _decision(value: Decision) -> decisions_pb2.DecisionKind.ValueType:
    return decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{value}")
