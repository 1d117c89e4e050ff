"""Requests about approvals as commands."""

from perdure.v1 import approvals_pb2, decisions_pb2
from perdure_control_plane.api import names, requests
from perdure_control_plane.domain.approval import ApprovalState, Decision
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.usecases.decide_approval import Deciding


def deciding(request: approvals_pb2.DecideApprovalRequest) -> Deciding:
    """What is decided. Raises FieldInvalid."""
    approval = names.approval_id(request.name)
    if request.decision == decisions_pb2.DECISION_KIND_UNSPECIFIED:
        raise field_invalid("decision", f"is one of {', '.join(Decision)}")
    if not request.token:
        raise field_invalid("token", "is required; GetApproval gives it with what it is about")
    decision = Decision(requests.word(decisions_pb2.DecisionKind, request.decision, "decision"))
    return Deciding(
        approval,
        decision,
        request.token,
        requests.reason(request.reason),
        requests.request_id(request.request_id),
        request.content,
        request.selected_option,
    )


def approval_filter(
    request: approvals_pb2.ListApprovalsRequest | approvals_pb2.WatchApprovalsRequest,
) -> ApprovalFilter:
    """Which approvals. Raises FieldInvalid."""
    if approvals_pb2.Approval.STATE_UNSPECIFIED in request.states:
        raise field_invalid("states", "holds the unspecified state; leave the list empty for any")
    states = [requests.word(approvals_pb2.Approval.State, state, "states") for state in request.states]
    return ApprovalFilter(
        states=tuple(ApprovalState(state) for state in states),
        run_id=names.run_id(request.run, "run") if request.run else None,
        flow_id=names.flow_id(request.flow, "flow") if request.flow else None,
        session_id=names.session_id(request.session, "session") if request.session else None,
    )
