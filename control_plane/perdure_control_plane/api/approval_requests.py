"""Requests about approvals as commands."""

from typing import Final

from perdure.runlog.decisions import ASSIGNEE_LENGTH, PRINCIPALS, ROLE
from perdure.v1 import approvals_pb2, decisions_pb2
from perdure_control_plane.api import names, requests
from perdure_control_plane.domain.approval import ApprovalState, Decision, names_of
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import FieldInvalid, field_invalid
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.domain.roles import DECIDING_ROLES, SCOPES, Scope
from perdure_control_plane.usecases.comment_approval import Commenting
from perdure_control_plane.usecases.decide_approval import Deciding
from perdure_control_plane.usecases.delegate_approval import Delegating
from perdure_control_plane.usecases.withdraw_approval import Withdrawing

MAX_AT_ONCE: Final = 100
"""Most approvals that one call decides."""

MAX_COMMENT_BYTES: Final = 4096


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


def decisions(request: approvals_pb2.DecideApprovalsRequest) -> list[Deciding]:
    """What is decided of each. Raises FieldInvalid."""
    if not 1 <= len(request.requests) <= MAX_AT_ONCE:
        raise field_invalid("requests", f"has {len(request.requests)}; 1 to {MAX_AT_ONCE} can be decided at once")
    asked: list[Deciding] = []
    for index, one in enumerate(request.requests):
        try:
            asked.append(deciding(one))
        except FieldInvalid as error:
            raise error.within(f"requests[{index}]") from error
    if len({one.approval_id for one in asked}) < len(asked):
        raise field_invalid("requests", "names an approval twice")
    return asked


def delegating(request: approvals_pb2.DelegateApprovalRequest) -> Delegating:
    """Whom somebody else is asked in whose place. Raises FieldInvalid."""
    approval = names.approval_id(request.name)
    role = request.to.removeprefix(ROLE)
    if role not in DECIDING_ROLES if role != request.to else not request.to.startswith(PRINCIPALS):
        known = ", ".join([*(f"{one}NAME" for one in PRINCIPALS), *(f"{ROLE}{one}" for one in DECIDING_ROLES)])
        raise field_invalid("to", f"is one of {known}")
    if len(request.to) > ASSIGNEE_LENGTH or not request.to.isprintable():
        raise field_invalid("to", f"is a principal or a role, of 1 to {ASSIGNEE_LENGTH} characters")
    return Delegating(approval, request.to, requests.reason(request.reason), requests.request_id(request.request_id))


def withdrawing(request: approvals_pb2.WithdrawApprovalRequest) -> Withdrawing:
    """What is withdrawn. Raises FieldInvalid."""
    approval = names.approval_id(request.name)
    if not request.reason.strip():
        raise field_invalid("reason", "is required to withdraw; the run's failure says it")
    return Withdrawing(approval, requests.reason(request.reason), requests.request_id(request.request_id))


def commenting(request: approvals_pb2.CommentApprovalRequest) -> Commenting:
    """What is said. Raises FieldInvalid."""
    approval = names.approval_id(request.name)
    if not request.text.strip() or len(request.text.encode()) > MAX_COMMENT_BYTES:
        raise field_invalid("text", f"has 1 to {MAX_COMMENT_BYTES} bytes")
    return Commenting(approval, request.text, requests.request_id(request.request_id))


def approval_filter(
    request: approvals_pb2.ListApprovalsRequest | approvals_pb2.WatchApprovalsRequest, caller: Caller
) -> ApprovalFilter:
    """Which approvals. Raises FieldInvalid."""
    if len(request.assignee) > ASSIGNEE_LENGTH:
        raise field_invalid("assignee", f"has more than {ASSIGNEE_LENGTH} characters")
    if request.role and request.role not in DECIDING_ROLES:
        raise field_invalid("role", f"is a role that decides, of {', '.join(DECIDING_ROLES)}")
    if approvals_pb2.Approval.STATE_UNSPECIFIED in request.states:
        raise field_invalid("states", "holds the unspecified state; leave the list empty for any")
    states = [requests.word(approvals_pb2.Approval.State, state, "states") for state in request.states]
    return ApprovalFilter(
        states=tuple(ApprovalState(state) for state in states),
        run_id=names.run_id(request.run, "run") if request.run else None,
        flow_id=names.flow_id(request.flow, "flow") if request.flow else None,
        session_id=names.session_id(request.session, "session") if request.session else None,
        assignees=tuple(filter(None, (request.assignee, f"{ROLE}{request.role}" if request.role else ""))),
        asks_one_of=names_of(caller) if request.mine else (),
        or_everybody=caller.role is None or Scope.APPROVALS_DECIDE in SCOPES[caller.role],
        is_overdue=isinstance(request, approvals_pb2.ListApprovalsRequest) and request.overdue,
    )
