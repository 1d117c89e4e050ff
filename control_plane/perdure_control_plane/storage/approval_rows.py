"""What events of the log say of an approval, as columns of its row."""

from collections.abc import Iterable
from typing import Any, Final

from perdure.runlog.states import RunState, run_state
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2, run_events_pb2
from perdure_control_plane.domain.approval import ApprovalState, CloseReason, Decision
from perdure_control_plane.storage.lists import pack
from perdure_control_plane.storage.projection_statements import NO_DECISION


def asked_row(asked: approval_facts_pb2.ApprovalWait) -> dict[str, Any]:
    """The row of an approval that was asked for, but for where and when."""
    return {
        **NO_DECISION,
        "approval_id": asked.approval_id,
        "kind": decisions_pb2.ApprovalKind.Name(asked.kind).removeprefix("APPROVAL_KIND_"),
        "state": ApprovalState.OPEN.value,
        "allowed": pack(_decision(kind).value for kind in asked.allowed),
        "options": pack(asked.options),
        "four_eyes": pack(decisions_pb2.FourEyes.Name(rule).removeprefix("FOUR_EYES_") for rule in asked.four_eyes),
        "first_assignees": pack(asked.assignees),
        "assignees": pack(asked.assignees),
        "ever_asked": pack(asked.assignees),
        "quorum": asked.quorum,
        "on_timeout": decisions_pb2.OnTimeout.Name(asked.on_timeout).removeprefix("ON_TIMEOUT_"),
        "escalations": 0,
        "escalated_at": 0,
        "reminders": 0,
        "close_reason": CloseReason.OPEN.value,
        "remarks": 0,
        "prompt": asked.prompt,
        "subject_digest": asked.subject_digest,
        "nonce": asked.nonce,
        "closed_at": 0,
        "closed_sequence": 0,
    }


def ended_row(recorded: fact_events_pb2.FactRecorded) -> dict[str, Any]:
    """What changes with the fact that ends one."""
    if recorded.HasField("approval_withdrawn"):
        return {"state": ApprovalState.CLOSED.value, "close_reason": CloseReason.WITHDRAWN.value}
    if not recorded.HasField("decision"):
        return {"state": ApprovalState.EXPIRED.value, "close_reason": CloseReason.EXPIRED.value}
    decision = recorded.decision
    return {
        "state": ApprovalState.DECIDED.value,
        "close_reason": CloseReason.DECIDED.value,
        "decision": _decision(decision.kind).value,
        "decider": decision.decider,
        "authenticated": int(decision.authenticated),
        "reason": decision.reason,
        "selected_option": decision.selected_option,
        "content_digest": decision.content_digest,
        "automatic": int(decision.automatic),
    }


def escalated_row(escalated: approval_facts_pb2.ApprovalEscalated, at: int) -> dict[str, Any]:
    """What changes when others are asked as well."""
    return {
        **asked_of(escalated.assignees),
        "escalations": escalated.rung,
        "escalated_at": at,
        "due_at": at + escalated.timeout.ToMicroseconds() if escalated.HasField("timeout") else 0,
    }


def asked_of(assignees: Iterable[str]) -> dict[str, str]:
    """What changes when others are asked: who may decide now, which is also put to all who were ever asked."""
    return {"assignees": pack(assignees), "also_asked": pack(assignees)}


def closed_row(closed: fact_events_pb2.WaitClosed) -> dict[str, Any]:
    """What changes when its run needs it no more, and goes on."""
    is_jump = closed.cause == instances_pb2.FAILURE_CAUSE_JUMPED_OVER
    reason = CloseReason.JUMPED_OVER if is_jump else CloseReason.STOPPED
    return {"state": ApprovalState.CLOSED.value, "close_reason": reason.value}


def left_row(ended: run_events_pb2.RunEnded) -> dict[str, Any]:
    """What changes when its run ends without it."""
    reason = _LEFT.get(run_state(ended.state), CloseReason.RUN_ENDED)
    return {"state": ApprovalState.CLOSED.value, "close_reason": reason.value}


_LEFT: Final = {
    RunState.CANCELLED: CloseReason.STOPPED,
    RunState.INTERRUPTED: CloseReason.STOPPED,
    RunState.TIMED_OUT: CloseReason.STOPPED,
    RunState.MOVED: CloseReason.MOVED,
}


def _decision(kind: decisions_pb2.DecisionKind.ValueType) -> Decision:
    return Decision(decisions_pb2.DecisionKind.Name(kind).removeprefix("DECISION_KIND_"))
