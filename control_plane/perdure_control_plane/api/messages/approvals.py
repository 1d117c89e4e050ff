"""Approvals as messages."""

from perdure.v1 import approvals_pb2, fact_events_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.approval import Approval, Decision


def approval(value: Approval, token: str = "") -> approvals_pb2.Approval:
    """An approval; with its subject where it was read."""
    return approvals_pb2.Approval(
        name=value.name,
        run=f"runs/{value.run_id}",
        flow=f"flows/{value.flow_id}",
        instance=value.instance,
        state=approvals_pb2.Approval.State.Value(f"STATE_{value.state}"),
        decision=_decision(value.decision) if value.decision is not None else fact_events_pb2.DECISION_KIND_UNSPECIFIED,
        decider=value.decider or "",
        authenticated=value.authenticated,
        reason=value.reason,
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


def _decision(value: Decision) -> fact_events_pb2.DecisionKind.ValueType:
    return fact_events_pb2.DecisionKind.Value(f"DECISION_KIND_{value}")
