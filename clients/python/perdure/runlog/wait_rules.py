"""What must be true of facts about waits: when they come, whom a request asks by then, and who takes a signal; what is wrong
with them, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from perdure.runlog.deadlines import Patience
from perdure.runlog.decisions import also_asked, asked_instead
from perdure.runlog.inbox import RUN
from perdure.runlog.instances import instance
from perdure.runlog.plans import every_node
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2

RESOLVES: Final[Mapping[str, frozenset[str]]] = {
    "decision": frozenset({"approval"}),
    "wait_expired": frozenset({"approval", "signal"}),
    "approval_withdrawn": frozenset({"approval"}),
    "timer_fired": frozenset({"timer", "backoff"}),
}
"""The kinds of waits that each kind of fact which is addressed to one resolves."""


ASKING: Final = frozenset({"approval_escalated", "approval_reminded", "approval_delegated", "approval_commented"})
"""The kinds of facts by which a request for a decision goes on, and stays open."""


def has_come(walk: Walk, signal: str) -> bool:
    """Whether a signal of that name is kept, and nothing has taken it."""
    signals = (fact for fact in walk.facts.values() if not fact.taken and not fact.void)
    return any(fact.recorded.HasField("signal") and fact.recorded.signal.name == signal for fact in signals)


def signal_faults(walk: Walk, signal: fact_events_pb2.Signal) -> Iterator[str]:
    """Whether the plan has a use for it, and whether it says rightly that it was waited for."""
    if not any(node.wait.signal == signal.name for node in every_node(walk.plan.message)):
        yield f"no node of the plan waits for a signal {signal.name}"
    if signal.awaited != (walk.waiting_for(signal.name) is not None):
        yield f"the signal {signal.name} says wrongly whether it was waited for"


def due_faults(recorded: fact_events_pb2.FactRecorded, time: Patience, at: int) -> Iterator[str]:
    """Whether what passes for over, `at` the time that it was stored, is. The wait's own time is without outages."""
    due = time.due
    match recorded.WhichOneof("fact"):
        case "timer_fired":
            said = recorded.timer_fired.due_time.ToMicroseconds()
        case "wait_expired":
            said = recorded.wait_expired.deadline_time.ToMicroseconds()
        case "approval_escalated":
            said = recorded.approval_escalated.deadline_time.ToMicroseconds()
        case "decision" if recorded.decision.automatic:
            said = due or at + 1  # one that stays open is never decided so
        case "approval_reminded":
            said = due = time.reminder_at or at + 1
        case _:
            return
    stays_open = not due and time.rung > 0
    if stays_open or said != due or at < due:
        yield f"{instance(recorded.instance)} has not come to its time"


def asking_faults(recorded: fact_events_pb2.FactRecorded, time: Patience) -> Iterator[str]:
    """Whether what happens to a request is what it was asked with, and asks whom it says."""
    match recorded.WhichOneof("fact"):
        case "approval_escalated":
            yield from _climbing_faults(recorded, time)
        case "approval_reminded":
            reminded, following = recorded.approval_reminded, replace(time, reminded=time.reminded + 1)
            if (reminded.number, reminded.next_time.ToMicroseconds()) != (following.reminded, following.next_at):
                yield f"the reminder of {instance(recorded.instance)} is not its next"
        case "approval_delegated":
            given = recorded.approval_delegated
            if given.assignees != asked_instead(time.asked, given.delegator, given.to):
                yield f"{instance(recorded.instance)} was delegated, and asks others than that says"
        case "wait_expired" if time.climbs or time.goes_on != recorded.wait_expired.not_continued:
            yield f"{instance(recorded.instance)} expired, and something else was to follow"


def _climbing_faults(recorded: fact_events_pb2.FactRecorded, time: Patience) -> Iterator[str]:
    where, climbed = instance(recorded.instance), recorded.approval_escalated
    if not time.climbs or climbed.rung != time.rung + 1:
        yield f"{where} was escalated to a rung that is not its next"
        return
    rung = time.opened.approval.escalate_to[time.rung]
    if climbed.timeout != rung.timeout:
        yield f"{where} was escalated for another time than it was asked with"
    if climbed.to != rung.to or climbed.assignees != also_asked(time.asked, rung.to):
        yield f"{where} was escalated, and asks others than its rung says"


def taker_faults(walk: Walk, taken: fact_events_pb2.FactTakenUp) -> Iterator[str]:
    """Whether a signal goes to the wait for it that was opened first, and any other fact to the one it was addressed to."""
    fact = walk.facts.get(taken.sequence)
    expected = None
    if fact is not None and fact.recorded.HasField("signal"):
        expected = walk.waiting_for(fact.recorded.signal.name)
    taker = instance(taken.instance) if taken.HasField("instance") else None
    if taker != expected:
        yield f"{taken.sequence} was taken by {taker or RUN}, and is for {expected or 'what it was addressed to'}"
