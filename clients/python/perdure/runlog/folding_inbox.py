"""Folding waits, and the facts that arrive for them, into a walk."""

from collections.abc import Callable
from typing import Final

from perdure.runlog.inbox import RUN, Doubt, Fact, OpenWait
from perdure.runlog.instances import Instance, Step, instance
from perdure.runlog.node_walk import Answer, Phase
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2
from perdure.v1.run_events_pb2 import RunEvent


def _wait_opened(walk: Walk, event: RunEvent, sequence: int) -> None:
    where = instance(event.wait_opened.instance)
    if event.wait_opened.HasField("backoff"):
        walk.waits[where] = OpenWait(event.wait_opened, b"")
        return
    if event.wait_opened.approval.question:
        walk.waits[where] = OpenWait(event.wait_opened, walk.pending.pop(where, b""))
        return
    _begin_to_wait(walk, where)
    walk.nodes[where.place].acted_by = frozenset()
    walk.waits[where] = OpenWait(event.wait_opened, walk.pending.pop(where, b""))


def _child_started(walk: Walk, event: RunEvent, sequence: int) -> None:
    started = event.child_started
    where = instance(started.instance)
    walk.act_behind_gates(Step(where.node, where.visit))
    _begin_to_wait(walk, where, started.redo)
    await_child(walk, where, started.run_id)


def _begin_to_wait(walk: Walk, where: Instance, redo: int = 0) -> None:
    state = walk.nodes[where.place]
    state.phase, state.visit, state.attempt, state.redo = Phase.WAITING, where.visit, where.attempt, redo
    walk.frontier.discard(where.place)
    walk.active.add(where.place)
    walk.waits.pop(Instance(where.path, where.attempt - 1), None)  # the back-off before it


def await_child(walk: Walk, where: Instance, run_id: str) -> None:
    """Waits for the end of a child run."""
    walk.waits[where] = OpenWait(fact_events_pb2.WaitOpened(instance=where.message()), b"", child=run_id)


def _wait_closed(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.waits.pop(instance(event.wait_closed.instance), None)


def _fact_recorded(walk: Walk, event: RunEvent, sequence: int) -> None:
    recorded = event.fact_recorded
    where = instance(recorded.instance) if recorded.HasField("instance") else None
    walk.seen = sequence
    match recorded.WhichOneof("fact"):
        case "hold_placed":
            walk.holds[recorded.hold_placed.cause] = sequence
        case "hold_released":
            walk.holds.pop(recorded.hold_released.cause, None)
        case "late_report" if where in walk.doubts:
            _reported(walk, walk.doubts[where], recorded.late_report, sequence)
        case "signal":
            walk.facts[sequence] = Fact(recorded, walk.contents.pop(RUN, b""))
        case "child_ended" if recorded.child_ended.stale:
            pass
        case "decision" | "wait_expired" | "approval_withdrawn" | "timer_fired" | "child_ended" if where in walk.waits:
            walk.waits[where].fact_sequence = sequence
            walk.facts[sequence] = Fact(recorded, walk.contents.pop(where, b""))
        case "resolution" if where in walk.doubts:
            walk.doubts[where].resolution_sequence = sequence
            walk.facts[sequence] = Fact(recorded, walk.contents.pop(where, b""))


def _reported(walk: Walk, doubt: Doubt, report: fact_events_pb2.LateReported, sequence: int) -> None:
    doubt.report_sequence, doubt.report = sequence, report
    if report.reopens_doubt:
        walk.facts[doubt.resolution_sequence].void = True
        doubt.resolution_sequence = 0


def _fact_taken_up(walk: Walk, event: RunEvent, sequence: int) -> None:
    taken = event.fact_taken_up
    fact = walk.facts[taken.sequence]
    fact.taken = True
    if taken.HasField("instance"):
        walk.waits[instance(taken.instance)].fact_sequence = taken.sequence
        return
    where = instance(fact.recorded.instance)
    wait = walk.waits.get(where)
    if wait is not None and wait.opened.approval.question:
        state = walk.nodes[where.place]
        state.answers += (Answer(wait.opened.approval.question, fact.recorded, fact.content),)
    elif fact.recorded.WhichOneof("fact") == "decision":
        walk.nodes[where.place].decision = fact.recorded.decision


def _approval_voided(walk: Walk, event: RunEvent, sequence: int) -> None:
    voided = event.approval_voided
    place = instance(voided.instance).place
    state = walk.nodes[place]
    state.phase, state.cause = Phase.FAILED, instances_pb2.FAILURE_CAUSE_APPROVAL_VOIDED
    state.message = voided.message
    walk.active.add(place)


def _subject(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.pending[instance(event.wait_subject.instance)] = event.wait_subject.canonical_json


def _content(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.contents[instance(event.fact_content.instance)] = event.fact_content.json


INBOX_STEPS: Final[dict[str, Callable[[Walk, RunEvent, int], None]]] = {
    "wait_subject": _subject,
    "approval_voided": _approval_voided,
    "wait_opened": _wait_opened,
    "child_started": _child_started,
    "wait_closed": _wait_closed,
    "fact_content": _content,
    "fact_recorded": _fact_recorded,
    "fact_taken_up": _fact_taken_up,
}
