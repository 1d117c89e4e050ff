"""What a race has left behind, and what is wrong with that."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perdure.client import Client
from perdure.runlog.checker import LogChecker
from perdure.runlog.plans import read_plan
from perdure.v1.approvals_pb2 import Approval, GetApprovalRequest
from perdure.v1.audit_pb2 import AuditEvent, ListAuditEventsRequest
from perdure.v1.decisions_pb2 import DecisionKind
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure.v1.run_states_pb2 import RunState
from perdure.v1.runs_pb2 import GetRunPlanRequest, GetRunRequest, ListRunEventsRequest, Run
from tests.race.races import APPROVED, CLOSED, ESCALATED, EXPIRED, LET_THROUGH, REJECTED, WENT_ON, Race

_DECIDING: Final = ("human.decision", "human.expired", "human.continued", "human.escalated")
_TRAIL: Final = {
    APPROVED: ["human.decision"], REJECTED: ["human.decision"], EXPIRED: ["human.expired"], CLOSED: [],
    ESCALATED: ["human.decision", "human.escalated"], WENT_ON: ["human.continued"],
}  # fmt: skip
"""What the trail has of the approval, in the order of its letters."""
_ENDS: Final = {
    APPROVED: ("COMPLETED", "CANCELLED"), REJECTED: ("FAILED",), EXPIRED: ("EXPIRED",), CLOSED: ("CANCELLED",),
    ESCALATED: ("COMPLETED",), WENT_ON: ("COMPLETED",),
}  # fmt: skip
"""States that a run may end in, by what became of its gate."""


@dataclass(frozen=True, slots=True)
class Left:
    """Everything there is to see of a race."""

    answers: tuple[str, str]
    approval: Approval
    run: Run
    log: list[RecordedEvent]
    violations: list[str]
    audited: list[AuditEvent]


async def look(admin: Client, name: str, run: str, answers: tuple[str, str]) -> Left:
    """Gathers what a race has left, once its run has ended."""
    row = await admin.runs.GetRun(GetRunRequest(name=run))
    plan = await admin.runs.GetRunPlan(GetRunPlanRequest(name=run))
    listed = await admin.runs.ListRunEvents(ListRunEventsRequest(name=run, page_size=500))
    checker = LogChecker(run.removeprefix("runs/"), read_plan(plan.plan, plan.digest), plan.digest)
    for recorded in listed.events:
        checker.take(recorded)
    checker.finish(row)
    audited = await admin.audit.ListAuditEvents(ListAuditEventsRequest(types=list(_DECIDING), resource=name))
    done = [event for event in audited.events if event.outcome == AuditEvent.OUTCOME_DONE]
    approval = await admin.approvals.GetApproval(GetApprovalRequest(name=name))
    return Left(answers, approval, row, list(listed.events), list(map(str, checker.violations)), done)


def became(left: Left) -> str:
    """What became of the approval, as its row says."""
    match left.approval.state:
        case Approval.STATE_DECIDED:
            if left.approval.automatic or left.approval.escalations:
                return WENT_ON if left.approval.automatic else ESCALATED
            return DecisionKind.Name(left.approval.decision).removeprefix("DECISION_KIND_").lower()
        case Approval.STATE_EXPIRED:
            return EXPIRED
        case Approval.STATE_CLOSED:
            return CLOSED
        case _:
            return "open"


def faults(race: Race, left: Left, launches: "Counter[str]") -> Iterator[str]:
    """What is wrong: with the answers, the log, the row, the trail, or what was done."""
    winner = became(left)
    if winner not in race.allowed.get(left.answers, ()):
        yield f"the answers were {left.answers}, and the approval is {winner}"
    yield from left.violations
    yield from _in_the_log(left, winner)
    state = RunState.Name(left.run.state).removeprefix("RUN_STATE_")
    if state not in _ENDS.get(winner, ()):
        yield f"the run is {state}, and the approval is {winner}"
    done = launches[left.run.name.removeprefix("runs/")]
    if done > (winner in LET_THROUGH) or (state == "COMPLETED" and done != 1):
        yield f"what follows the gate was done {done} times, and the approval is {winner}"
    if sorted(event.type for event in left.audited) != _TRAIL.get(winner):
        yield f"the trail has {[event.type for event in left.audited]}, and the approval is {winner}"
    said = [event.details["decision"] for event in left.audited if event.type == "human.decision"]
    if said != [DecisionKind.Name(left.approval.decision).removeprefix("DECISION_KIND_")] * len(said):
        yield f"the trail has {said}, and the approval is {winner}"


def _in_the_log(left: Left, winner: str) -> Iterator[str]:
    kinds = Counter(recorded.event.WhichOneof("kind") for recorded in left.log)
    facts = [recorded.event.fact_recorded for recorded in left.log if recorded.event.HasField("fact_recorded")]
    deciding = [fact.WhichOneof("fact") for fact in facts if fact.WhichOneof("fact") in ("decision", "wait_expired")]
    if len(deciding) != (winner != CLOSED):
        yield f"the log has {deciding}, and the approval is {winner}"
    started = kinds["node_started"]
    if started > (winner in LET_THROUGH):
        yield f"{started} nodes were started behind the gate"
    if kinds["run_ended"] != 1:
        yield f"the run has ended {kinds['run_ended']} times"
