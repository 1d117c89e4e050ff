"""Makes a run go on that has ended, or that is held because too much went wrong with it."""

from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.effects import child_run_id
from perdure.runlog.recovery import CONTINUE_RELEASES, Recovery, recovery
from perdure.runlog.states import CONTINUABLE, FINAL, TERMINAL, RunState
from perdure.v1 import fact_events_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    AnswerStale,
    Conflict,
    ContinueNeeds,
    DataCorrupt,
    ParentDoesNotWait,
    RunStateForbids,
)
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.inbox import WaitState
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import READ_AT_ONCE, FoldedRun, fold_run
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.readings.end_of_child import end_of_child
from perdure_control_plane.usecases.request_ids import is_repetition

WITH_ITS_PARENT: Final = "the run that started it goes on"


@dataclass(frozen=True, slots=True)
class Continuing:
    """What is continued, the end or hold it answers, and what makes going on possible."""

    run_id: RunId
    answers_sequence: int
    reopen: str
    extra_attempts: int
    timeout_micros: int
    reason: str
    request_id: str


async def continue_run(store: Store, caller: Caller, asked: Continuing) -> Run:
    """Queues the run, or pauses it where an effect is in doubt still.

    Raises NotFound, RunStateForbids, AnswerStale, ContinueNeeds, ParentDoesNotWait, RequestIdReused,
    Conflict.
    """
    folded = await fold_run(store, asked.run_id)

    def body(tx: Transaction) -> Run:
        run = tx.runs.get(asked.run_id)
        content = (asked.answers_sequence, asked.reopen, asked.extra_attempts, asked.timeout_micros, asked.reason)
        if is_repetition(tx, caller, asked.request_id, "ContinueRun", run.name, *content):
            return run
        if run.head.last_sequence != folded.run.head.last_sequence:
            raise Conflict(run.name)
        continued = tx.log.append(run, _events(tx, folded, asked), requested_by(caller))
        tx.audit.record(Act(AuditType.RUN_CONTINUED, caller, run.name, asked.request_id, _details(run, asked)))
        return continued

    return await store.write(body)


def _details(run: Run, asked: Continuing) -> dict[AuditDetail, str]:
    reopened = {AuditDetail.INSTANCE: asked.reopen} if asked.reopen else {}
    return {AuditDetail.STATE: run.head.state.value, **reopened, **of_reason(asked.reason)}


def continuing_events(tx: Transaction, folded: FoldedRun) -> list[RunEvent]:
    """What makes a child that was interrupted go on with its parent, with its own time anew where that has passed.

    Raises DataCorrupt.
    """
    run = folded.run
    continued = run_events_pb2.RunContinued(answers_sequence=run.head.ended_sequence, reason=WITH_ITS_PARENT)
    if 0 < run.head.deadline_at <= tx.now:
        continued.timeout.CopyFrom(_time_given(tx, run))
    return _with_children(tx, folded, continued)


def _time_given(tx: Transaction, run: Run) -> Duration:
    """The time limit that a run was first given: by its creation, or when somebody continued it. Raises DataCorrupt."""
    for recorded in tx.events.of_kinds(run.run_id, ("run_created", "run_continued"), after=0, limit=READ_AT_ONCE):
        given = recorded.event.run_created if recorded.sequence == 1 else recorded.event.run_continued
        if given.HasField("timeout"):
            return given.timeout
    raise DataCorrupt(run.name, "it has a deadline that no event gave it")


def _events(tx: Transaction, folded: FoldedRun, asked: Continuing) -> list[RunEvent]:
    plan = recovery(str(asked.run_id), folded.run.head, folded.walk, tx.now)
    state = folded.run.head.state
    if not plan.can_continue:
        way_out = "it goes on by itself" if plan.goes_on_by_itself else "it cannot be continued"
        if state in FINAL:
            way_out = "which is final"
        elif "resume" in plan.needs:
            way_out = "an operator holds it: resume it"
        elif plan.in_doubt:
            way_out = "resolve its effects in doubt first"
        raise RunStateForbids(folded.run.name, state, way_out)
    if asked.answers_sequence != plan.answers_sequence:
        raise AnswerStale(folded.run.name, asked.answers_sequence, plan.answers_sequence)
    if state not in CONTINUABLE:
        return _release_holds(folded, asked)
    _check_parent(tx, folded.run)
    _check_needs(folded, asked, plan)
    continued = run_events_pb2.RunContinued(answers_sequence=asked.answers_sequence, reason=asked.reason)
    if plan.reopens is not None:
        continued.reopened.CopyFrom(plan.reopens.message())
        continued.extra_attempts = max(1, asked.extra_attempts)
    if asked.timeout_micros:
        timeout = Duration()
        timeout.FromMicroseconds(asked.timeout_micros)
        continued.timeout.CopyFrom(timeout)
    return _with_children(tx, folded, continued)


def _check_parent(tx: Transaction, run: Run) -> None:
    """Raises ParentDoesNotWait for a child of which nobody would learn what it comes to."""
    parent_id = run.identity.parent_run_id
    if parent_id is None:
        return
    wait = tx.inbox.wait_for_child(parent_id, run.run_id)
    if wait is None or wait[1] is not WaitState.OPEN:
        raise ParentDoesNotWait(run.name, f"runs/{parent_id}", tx.runs.get(parent_id).head.state)


def _with_children(tx: Transaction, folded: FoldedRun, continued: run_events_pb2.RunContinued) -> list[RunEvent]:
    """A continue that waits again for the children it had, but for those that were cancelled.

    The end of one that has ended by itself meanwhile, and was told to nobody who waited, is told now.
    """
    ends: list[RunEvent] = []
    for where in folded.walk.awaited_children():
        child = tx.runs.get(RunId(child_run_id(folded.run.run_id, where)))
        if child.head.state is RunState.CANCELLED:
            continue
        continued.children.add(instance=where.message(), run_id=child.run_id)
        told = all(message.source != child.run_id for message in tx.messages.to_run(folded.run.run_id))
        if told and child.head.state in TERMINAL - {RunState.INTERRUPTED}:
            ends += end_of_child(tx, str(where), child.run_id, child.head.ended_sequence, stale=False)
    return [RunEvent(run_continued=continued), *ends]


def _release_holds(folded: FoldedRun, asked: Continuing) -> list[RunEvent]:
    causes = [cause for cause in folded.walk.holds if 1 << cause & CONTINUE_RELEASES]
    released = [fact_events_pb2.HoldReleased(cause=cause, reason=asked.reason) for cause in causes]
    return [RunEvent(fact_recorded=fact_events_pb2.FactRecorded(hold_released=hold)) for hold in released]


def _check_needs(folded: FoldedRun, asked: Continuing, plan: Recovery) -> None:
    name = folded.run.name
    if plan.reopens is not None and asked.reopen != str(plan.reopens):
        raise ContinueNeeds(name, "reopen", f"it ended at {plan.reopens}; name that attempt to open it again")
    if plan.reopens is None and asked.reopen:
        raise ContinueNeeds(name, "reopen", "it did not end at an attempt; leave it empty")
    if "timeout" in plan.needs and not asked.timeout_micros:
        raise ContinueNeeds(name, "timeout", "its deadline has passed; give it a new one")
