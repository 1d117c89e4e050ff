"""Approvals as messages."""

from dataclasses import replace

from perdure.v1 import approval_facts_pb2, approvals_pb2, decisions_pb2
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.approval import Approval, ApprovalState, Decision, Vote
from perdure_control_plane.domain.approval_change import ApprovalChange
from perdure_control_plane.domain.errors import PerdureError
from perdure_control_plane.domain.ids import ApprovalId


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
        assignees=value.assignees,
        quorum=value.quorum,
        votes=map(_vote, value.votes),
        close_reason=approvals_pb2.CloseReason.Value(f"CLOSE_REASON_{value.close_reason or 'UNSPECIFIED'}"),
        history=map(_event, value.history),
        on_timeout=decisions_pb2.OnTimeout.Value(f"ON_TIMEOUT_{value.on_timeout}"),
        escalations=value.escalations,
        escalate_time=timestamp(value.escalated_at),
        due_time=timestamp(value.due_at) if value.state is ApprovalState.OPEN else None,
        reminders=value.reminders,
        automatic=value.automatic,
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


def decided(value: Approval) -> approvals_pb2.DecideApprovalsResponse.Result:
    """What became of one of several, without what it is about."""
    brief = replace(value, subject=b"", content=b"", history=())
    return approvals_pb2.DecideApprovalsResponse.Result(name=value.name, approval=approval(brief))


def refused(approval_id: ApprovalId, error: PerdureError) -> approvals_pb2.DecideApprovalsResponse.Result:
    """Why one of several was refused."""
    refusal = approvals_pb2.DecideApprovalsResponse.Refusal(
        reason=error.reason, message=str(error), metadata=error.metadata
    )
    return approvals_pb2.DecideApprovalsResponse.Result(name=f"approvals/{approval_id}", refusal=refusal)


def _event(recorded: RecordedEvent) -> approvals_pb2.ApprovalEvent:
    event = approvals_pb2.ApprovalEvent(create_time=recorded.stored_time)
    if recorded.event.HasField("approval_voided"):
        event.voided.CopyFrom(recorded.event.approval_voided)
        return event
    fact = recorded.event.fact_recorded
    kind = fact.WhichOneof("fact") or ""
    getattr(event, kind.removeprefix("approval_")).CopyFrom(getattr(fact, kind))
    return event


def _vote(vote: Vote) -> approval_facts_pb2.Vote:
    return approval_facts_pb2.Vote(
        voter=vote.voter,
        kind=_decision(vote.decision),
        selected_option=vote.selected_option,
        reason=vote.reason,
        vote_time=timestamp(vote.voted_at),
    )


def _decision(value: Decision) -> decisions_pb2.DecisionKind.ValueType:
    return decisions_pb2.DecisionKind.Value(f"DECISION_KIND_{value}")
