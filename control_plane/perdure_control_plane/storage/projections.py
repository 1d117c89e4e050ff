"""What an event changes beside the run row: waits, inbox, approvals and tasks.

Each projection is a function of one event of the log, so the tables can be rebuilt from logs alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from perdure.runlog.deadlines import patience
from perdure.runlog.effects import approval_id, task_id
from perdure.runlog.folding import facts_that_outlive
from perdure.runlog.instances import instance
from perdure.runlog.wait_rules import ASKING, RESOLVES
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2, run_events_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import ApprovalState, CloseReason
from perdure_control_plane.domain.approval_change import ENDS, GOES_ON, ApprovalChangeKind
from perdure_control_plane.domain.inbox import FactState, WaitKind, WaitState
from perdure_control_plane.domain.run_message import MessageKind
from perdure_control_plane.domain.task import TaskState, TerminalReason
from perdure_control_plane.storage.approval_changes import NotedChanges
from perdure_control_plane.storage.approval_rows import (
    asked_of,
    asked_row,
    closed_row,
    ended_row,
    escalated_row,
    left_row,
)
from perdure_control_plane.storage.payloads import PayloadStatements
from perdure_control_plane.storage.projection_statements import (
    NEW_TASK,
    NEW_WAIT,
    NO_DECISION,
    NO_RESULT,
    ProjectionStatements,
)
from perdure_control_plane.storage.run_messages import Outgoing
from perdure_control_plane.storage.statements import Change


@dataclass(slots=True)  # one for each attempt: frozen, it takes four times as long to make
class Stored:
    """One event as it is being stored. `lease_id` is None for a control plane's own.

    `waits` and `facts` say whether the run had open waits, and whether it ever had a fact, before the event; `child` and
    `children` whether another run has started it, and whether it had started any.
    """

    run_id: str
    sequence: int
    at: int
    lease_id: str | None
    event: RunEvent
    waits: bool
    facts: bool
    child: bool
    children: bool


def is_projected(kind: str, event: RunEvent) -> bool:
    """Whether an event may change anything beside the run row. Nodes that are no commands leave nothing there."""
    if kind == "node_started":
        return bool(event.node_started.command)
    if kind == "node_settled":
        return _may_end_a_task(event.node_settled)
    return kind in PROJECTED


class Projections:
    """Says what events change in the projections; whoever stores the events executes it."""

    def __init__(self, statements: ProjectionStatements, payloads: PayloadStatements) -> None:
        self._statements = statements
        self.payloads: Final = payloads
        self.messages = Outgoing(statements.messages)
        self.approval_changes = NotedChanges(statements.approval_changes)

    def changes(self, kind: str, stored: Stored) -> Iterable[Change]:
        """What an event changes beside the run row, in this order; nothing where `is_projected` says so."""
        projector = PROJECTED.get(kind)
        return () if projector is None else projector(self, stored)

    def _node_started(self, stored: Stored) -> Iterator[Change]:
        started = stored.event.node_started
        if not started.command or stored.lease_id is None:
            return
        where = instance(started.instance)
        values = {
            "run_id": stored.run_id,
            "task_id": task_id(stored.run_id, where, stored.lease_id),
            "instance": str(where),
            "lease_id": stored.lease_id,
            "command": started.command,
            "state": TaskState.RUNNING.value,
            "started_at": stored.at,
        }
        yield self._statements.begin_task.change(NEW_TASK | values)

    def _node_settled(self, stored: Stored) -> Iterator[Change]:
        settled = stored.event.node_settled
        if _may_end_a_task(settled):
            yield from self._end_task(stored, settled.instance, _task_end(settled))

    def _node_in_doubt(self, stored: Stored) -> Iterator[Change]:
        doubt = stored.event.node_in_doubt
        timed_out = doubt.cause == instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT
        reason = TerminalReason.TIMED_OUT if timed_out else TerminalReason.STOPPED
        end = {"state": TaskState.FAILED.value, "terminal_reason": reason.value}
        yield from self._end_task(stored, doubt.instance, NO_RESULT | end)

    def _end_task(self, stored: Stored, where: instances_pb2.Instance, end: dict[str, Any]) -> Iterator[Change]:
        if stored.lease_id is not None:
            task = task_id(stored.run_id, instance(where), stored.lease_id)
            yield self._statements.end_task.change({**end, "ended_at": stored.at, "where_task_id": task})

    def _executor_lost(self, stored: Stored) -> Iterator[Change]:
        values = {
            "where_run_id": stored.run_id,
            "where_state": TaskState.RUNNING.value,
            "state": TaskState.FAILED.value,
            "terminal_reason": TerminalReason.EXECUTOR_LOST.value,
            "ended_at": stored.at,
        }
        yield self._statements.lose_tasks.change(values)

    def _wait_opened(self, stored: Stored) -> Iterator[Change]:
        opened = stored.event.wait_opened
        where = str(instance(opened.instance))
        time = patience(opened, stored.at)
        wait = {"kind": opened.WhichOneof("wait"), "signal": opened.signal.name, "deadline_at": time.next_at}
        wait |= {"approval_id": opened.approval.approval_id or None}
        yield self._statements.open_wait.change(_new_wait(stored, where) | wait)
        if opened.WhichOneof("wait") == "approval":
            place = {"run_id": stored.run_id, "instance": where, "opened_sequence": stored.sequence}
            times = {"created_at": stored.at, "deadline_at": time.due, "due_at": time.due}
            yield self._statements.ask_approval.change({**asked_row(opened.approval), **place, **times})
            yield self._changed(stored, where, ApprovalChangeKind.OPENED)

    def _child_started(self, stored: Stored) -> Iterator[Change]:
        started = stored.event.child_started
        wait = _new_wait(stored, str(instance(started.instance))) | {"kind": WaitKind.CHILD.value}
        wait |= {"child_run_id": started.run_id}
        yield self._statements.open_wait.change(wait)

    def _wait_closed(self, stored: Stored) -> Iterator[Change]:
        where = str(instance(stored.event.wait_closed.instance))
        if stored.children:
            yield self.messages.tell_awaited(stored.run_id, stored.sequence, stored.at, where, MessageKind.CANCEL)
        yield from self._move_wait(stored, where, WaitState.CLOSED)
        yield from self._end_approval(stored, where, closed_row(stored.event.wait_closed))

    def _fact_recorded(self, stored: Stored) -> Iterator[Change]:
        recorded = stored.event.fact_recorded
        fact = recorded.WhichOneof("fact") or ""
        where = str(instance(recorded.instance)) if recorded.HasField("instance") else ""
        if fact == "late_report" and recorded.late_report.reopens_doubt:
            values = {"where_instance": where, "where_fact": "resolution", **_open_facts(stored)}
            yield self._statements.void_facts.change(values)
        stale = recorded.child_ended.stale
        if (fact in RESOLVES or fact == "child_ended") and not stale:
            yield from self._move_wait(stored, where, WaitState.RESOLVED, stored.sequence)
            yield from self._end_approval(stored, where, ended_row(recorded))
        if fact in ASKING:
            yield from self._go_on_asking(stored, where, recorded)
        if fact in _FACTS:
            values = {"run_id": stored.run_id, "sequence": stored.sequence, "instance": where or None, "fact": fact}
            values |= {"signal": recorded.signal.name, "state": (FactState.STALE if stale else FactState.OPEN).value}
            yield self._statements.record_fact.change(values)

    def _go_on_asking(self, stored: Stored, where: str, recorded: fact_events_pb2.FactRecorded) -> Iterator[Change]:
        which = {"where_run_id": stored.run_id, "where_instance": where, "where_state": ApprovalState.OPEN.value}
        match recorded.WhichOneof("fact"):
            case "approval_reminded":
                approval_id, reminded = recorded.approval_reminded.approval_id, recorded.approval_reminded
                yield from self._move_wait(stored, where, WaitState.OPEN, until=reminded.next_time.ToMicroseconds())
                yield self._statements.remind_approval.change({**which, "reminders": reminded.number})
            case "approval_escalated":
                approval_id = recorded.approval_escalated.approval_id
                row = escalated_row(recorded.approval_escalated, stored.at)
                yield from self._move_wait(stored, where, WaitState.OPEN, until=row["due_at"])
                yield self._statements.escalate_approval.change({**which, **row})
            case "approval_delegated":
                approval_id = recorded.approval_delegated.approval_id
                yield self._statements.delegate_approval.change(which | asked_of(recorded.approval_delegated.assignees))
            case "approval_commented":
                approval_id = recorded.approval_commented.approval_id
                yield self._statements.comment_approval.change(which)
            case other:
                raise ValueError(f"nothing is known of what goes on with {other}")
        place = {"approval_id": approval_id, "run_id": stored.run_id, "sequence": stored.sequence}
        yield self._statements.note_approval.change(place)
        yield self._changed(stored, where, GOES_ON[recorded.WhichOneof("fact") or ""])

    def _approval_voided(self, stored: Stored) -> Iterator[Change]:
        where = instance(stored.event.approval_voided.instance)
        which = {"where_run_id": stored.run_id, "where_instance": str(where)}
        decided = {**which, "where_state": ApprovalState.DECIDED.value}
        yield self._statements.void_approval.change({**decided, "close_reason": CloseReason.VOIDED.value})
        told = (stored.run_id, str(where), stored.sequence, stored.at, ApprovalChangeKind.VOIDED)
        yield self.approval_changes.of_decided(*told)
        place = {"run_id": stored.run_id, "sequence": stored.sequence}
        place["approval_id"] = approval_id(stored.run_id, where)
        yield self._statements.note_approval.change(place)

    def _move_wait(
        self, stored: Stored, where: str, to: WaitState, fact_sequence: int = 0, until: int = 0
    ) -> Iterator[Change]:
        values = {
            "where_run_id": stored.run_id,
            "where_instance": where,
            "where_state": WaitState.OPEN.value,
            "state": to.value,
            "fact_sequence": fact_sequence,
            "deadline_at": until,
        }
        yield self._statements.move_wait.change(values)

    def _end_approval(self, stored: Stored, where: str, end: dict[str, Any]) -> Iterator[Change]:
        yield self._changed(stored, where, ENDS[ApprovalState(end["state"])])
        which = {"where_run_id": stored.run_id, "where_instance": where, "where_state": ApprovalState.OPEN.value}
        closed = {"closed_at": stored.at, "closed_sequence": stored.sequence}
        yield self._statements.end_approval.change({**NO_DECISION, **end, **which, **closed})

    def _changed(self, stored: Stored, where: str, kind: ApprovalChangeKind) -> Change:
        return self.approval_changes.of_instance(stored.run_id, where, stored.sequence, stored.at, kind)

    def _fact_taken_up(self, stored: Stored) -> Iterator[Change]:
        taken = stored.event.fact_taken_up
        sequence = taken.sequence
        fact = {"where_run_id": stored.run_id, "where_sequence": sequence, "state": FactState.TAKEN.value}
        yield self._statements.take_fact.change(fact)
        if taken.HasField("instance"):
            yield from self._move_wait(stored, str(instance(taken.instance)), WaitState.TAKEN, sequence)
            return
        wait = {"where_run_id": stored.run_id, "where_fact_sequence": sequence, "state": WaitState.TAKEN.value}
        yield self._statements.take_wait.change(wait)

    def _stop_requested(self, stored: Stored) -> Iterator[Change]:
        if stored.children:
            cancel = stored.event.stop_requested.kind == run_events_pb2.STOP_KIND_CANCEL
            yield self.messages.stop_children(stored.run_id, stored.sequence, stored.at, cancel=cancel)

    def _run_continued(self, stored: Stored) -> Iterator[Change]:
        for child in stored.event.run_continued.children:
            where = str(instance(child.instance))
            wait = {"where_run_id": stored.run_id, "where_instance": where, "where_state": WaitState.CLOSED.value}
            opened = {"state": WaitState.OPEN.value, "fact_sequence": 0, "deadline_at": 0}
            yield self._statements.move_wait.change(wait | opened)
            yield self.messages.tell_awaited(stored.run_id, stored.sequence, stored.at, where, MessageKind.CONTINUE)

    def _run_ended(self, stored: Stored) -> Iterator[Change]:
        yield from self._executor_lost(stored)
        state = stored.event.run_ended.state
        if stored.child and state != run_states_pb2.RUN_STATE_INTERRUPTED:
            yield self.messages.tell_parent(stored.run_id, stored.sequence, stored.at)
        if stored.children:
            cancel = state == run_states_pb2.RUN_STATE_CANCELLED
            yield self.messages.stop_children(stored.run_id, stored.sequence, stored.at, cancel=cancel)
        if stored.waits:
            yield from self._close_waits(stored, WaitState.OPEN)
            asked = {
                "where_run_id": stored.run_id,
                "where_state": ApprovalState.OPEN.value,
                "closed_at": stored.at,
                **left_row(stored.event.run_ended),
            }
            yield self.approval_changes.of_run(stored.run_id, stored.sequence, stored.at, ApprovalChangeKind.CLOSED)
            yield self._statements.close_approvals.change(asked)
        if stored.facts:
            yield from self._close_waits(stored, WaitState.RESOLVED)
            for fact in sorted(_FACTS - facts_that_outlive(stored.event.run_ended)):
                yield self._statements.void_facts_of.change({"where_fact": fact, **_open_facts(stored)})

    def _close_waits(self, stored: Stored, state: WaitState) -> Iterator[Change]:
        values = {
            "where_run_id": stored.run_id,
            "where_state": state.value,
            "state": WaitState.CLOSED.value,
            "deadline_at": 0,
        }
        yield self._statements.close_waits.change(values)


def _open_facts(stored: Stored) -> dict[str, Any]:
    return {"where_run_id": stored.run_id, "where_state": FactState.OPEN.value, "state": FactState.STALE.value}


def _new_wait(stored: Stored, where: str) -> dict[str, Any]:
    place = {"run_id": stored.run_id, "instance": where}
    return {**NEW_WAIT, **place, "opened_sequence": stored.sequence, "opened_at": stored.at}


def _may_end_a_task(settled: node_events_pb2.NodeSettled) -> bool:
    """Whether it says how a command ended, or that one may never have begun."""
    return settled.HasField("task") or settled.outcome != instances_pb2.OUTCOME_SUCCEEDED


def _task_end(settled: node_events_pb2.NodeSettled) -> dict[str, Any]:
    result = settled.task
    succeeded = settled.outcome == instances_pb2.OUTCOME_SUCCEEDED
    otherwise = TerminalReason.EXITED if settled.HasField("task") else TerminalReason.NOT_STARTED
    return {
        "state": (TaskState.COMPLETED if succeeded else TaskState.FAILED).value,
        "terminal_reason": _REASONS.get(settled.cause, otherwise).value,
        "exit_code": result.exit_code if result.HasField("exit_code") else None,
        "signal": result.signal,
        "output_bytes": result.output_bytes,
        "output_truncated": int(result.output_truncated),
        "duration_micros": result.duration.ToMicroseconds(),
    }


_FACTS: Final = frozenset({*RESOLVES, "resolution", "signal", "child_ended"})
"""Facts that something follows from, and which stand in the inbox until it has."""

_REASONS: Final = {
    instances_pb2.FAILURE_CAUSE_SIGNALLED: TerminalReason.SIGNALLED,
    instances_pb2.FAILURE_CAUSE_NOT_STARTED: TerminalReason.NOT_STARTED,
    instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT: TerminalReason.TIMED_OUT,
    instances_pb2.FAILURE_CAUSE_STOPPED: TerminalReason.STOPPED,
}

PROJECTED: Final[dict[str, Callable[[Projections, Stored], Iterator[Change]]]] = {
    "node_started": Projections._node_started,
    "node_settled": Projections._node_settled,
    "node_in_doubt": Projections._node_in_doubt,
    "lease_revoked": Projections._executor_lost,
    "lease_returned": Projections._executor_lost,
    "stop_requested": Projections._stop_requested,
    "run_ended": Projections._run_ended,
    "run_continued": Projections._run_continued,
    "child_started": Projections._child_started,
    "wait_opened": Projections._wait_opened,
    "wait_closed": Projections._wait_closed,
    "approval_voided": Projections._approval_voided,
    "fact_recorded": Projections._fact_recorded,
    "fact_taken_up": Projections._fact_taken_up,
}
