"""What becomes of a request that nobody has decided in time: people are reminded, others are asked as well, the run goes on
without a person, or the request expires. Each is one event, in the commit that finds its moment come."""

from collections.abc import Iterable
from enum import StrEnum, auto
from typing import Final

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.deadlines import Patience
from perdure.runlog.decisions import also_asked, automatic_decision
from perdure.runlog.instances import parse_instance
from perdure.v1 import approval_facts_pb2, fact_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import Approval
from perdure_control_plane.domain.audit import SWEEPING, Act, Details
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.domain.ids import SYSTEM, ApprovalId
from perdure_control_plane.domain.leases import Outage, overdue
from perdure_control_plane.domain.origin import SWEEP
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.ports import Transaction
from perdure_control_plane.usecases.readings.approval_contents import wait_of, with_contents

NOBODY: Final = "nobody decided in time"


class FollowUp(StrEnum):
    """What was done about a request."""

    REMINDED = auto()
    ESCALATED = auto()
    CONTINUED = auto()
    EXPIRED = auto()


_AUDITED: Final = {
    FollowUp.REMINDED: AuditType.HUMAN_REMINDED,
    FollowUp.ESCALATED: AuditType.HUMAN_ESCALATED,
    FollowUp.CONTINUED: AuditType.HUMAN_CONTINUED,
    FollowUp.EXPIRED: AuditType.HUMAN_EXPIRED,
}


def follow_up(tx: Transaction, run: Run, approval_id: ApprovalId, outages: Iterable[Outage]) -> FollowUp | None:
    """Does what is due for an open request, with its run locked; None where nothing is, outages not counted."""
    approval = tx.approvals.get(approval_id)
    time = _time(tx, approval)
    if time.reminder_at:
        return _record(tx, run, approval, FollowUp.REMINDED, _reminded(approval, time))
    if not overdue(time.due, approval.escalated_at or approval.created_at, tx.now, outages):
        return None
    if time.climbs:
        return _record(tx, run, approval, FollowUp.ESCALATED, _escalated(approval, time))
    if time.goes_on and _may_go_on(tx, run, approval):
        return _record(tx, run, approval, FollowUp.CONTINUED, _decided(tx, approval, time))
    expired = fact_events_pb2.FactRecorded()
    expired.wait_expired.deadline_time.FromMicroseconds(time.due)
    expired.wait_expired.not_continued = time.goes_on
    return _record(tx, run, approval, FollowUp.EXPIRED, expired)


def _time(tx: Transaction, approval: Approval) -> Patience:
    opened = wait_of(tx, approval)
    return Patience(opened, approval.created_at, approval.due_at, approval.escalations, approval.reminders)


def _record(
    tx: Transaction, run: Run, approval: Approval, done: FollowUp, recorded: fact_events_pb2.FactRecorded
) -> FollowUp:
    recorded.instance.CopyFrom(parse_instance(approval.instance).message())
    tx.audit.record(Act(_AUDITED[done], SWEEPING, approval.name, details=_details(run, approval)))
    tx.log.append(run, [RunEvent(fact_recorded=recorded)], SWEEP)
    return done


def _details(run: Run, approval: Approval) -> Details:
    return {
        AuditDetail.RUN: run.name,
        AuditDetail.ON_TIMEOUT: approval.on_timeout.lower(),
        AuditDetail.RUNG: str(approval.escalations),
    }


def _reminded(approval: Approval, time: Patience) -> fact_events_pb2.FactRecorded:
    time.reminded += 1
    reminded = approval_facts_pb2.ApprovalReminded(approval_id=approval.approval_id, number=time.reminded)
    reminded.next_time.FromMicroseconds(time.next_at)
    return fact_events_pb2.FactRecorded(approval_reminded=reminded)


def _escalated(approval: Approval, time: Patience) -> fact_events_pb2.FactRecorded:
    rung = time.opened.approval.escalate_to[time.rung]
    escalated = approval_facts_pb2.ApprovalEscalated(
        approval_id=approval.approval_id,
        rung=time.rung + 1,
        to=rung.to,
        assignees=also_asked(approval.assignees, rung.to),
        timeout=rung.timeout if rung.HasField("timeout") else None,
    )
    escalated.deadline_time.FromMicroseconds(time.due)
    return fact_events_pb2.FactRecorded(approval_escalated=escalated)


def _may_go_on(tx: Transaction, run: Run, approval: Approval) -> bool:
    """Whether what was to be decided is there as it was frozen. It is looked at once: what is not expires in the same
    commit."""
    try:
        with_contents(tx, approval)
    except DataCorrupt as error:
        details = {**_details(run, approval), AuditDetail.ERROR: error.reason}
        tx.audit.record(Act(AuditType.HUMAN_CONTINUE_FAILED, SWEEPING, approval.name, details=details))
        return False
    return True


def _decided(tx: Transaction, approval: Approval, time: Patience) -> fact_events_pb2.FactRecorded:
    kind, option = automatic_decision(time.opened.approval)
    decision = approval_facts_pb2.Decision(
        approval_id=approval.approval_id,
        kind=kind,
        decider=SYSTEM,
        authenticated=True,
        subject_digest=approval.subject_digest,
        reason=NOBODY,
        selected_option=option,
        automatic=True,
    )
    decision.decide_time.FromMicroseconds(tx.now)
    return fact_events_pb2.FactRecorded(decision=decision)
