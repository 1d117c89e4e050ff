"""Makes a run go on that has ended, or that is held because too much went wrong with it."""

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from perdure.runlog.recovery import CONTINUE_RELEASES, Recovery, recovery
from perdure.runlog.states import CONTINUABLE, FINAL
from perdure.v1 import fact_events_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    AnswerStale,
    Conflict,
    ContinueNeeds,
    RunStateForbids,
)
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import FoldedRun, fold_run
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


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

    Raises NotFound, RunStateForbids, AnswerStale, ContinueNeeds, RequestIdReused, Conflict.
    """
    folded = await fold_run(store, asked.run_id)

    def body(tx: Transaction) -> Run:
        run = tx.runs.get(asked.run_id)
        content = (asked.answers_sequence, asked.reopen, asked.extra_attempts, asked.timeout_micros, asked.reason)
        if is_repetition(tx, caller, asked.request_id, "ContinueRun", run.name, *content):
            return run
        if run.head.last_sequence != folded.run.head.last_sequence:
            raise Conflict(run.name)
        return tx.log.append(run, _events(folded, asked, tx.now), requested_by(caller))

    return await store.write(body)


def _events(folded: FoldedRun, asked: Continuing, now: int) -> list[RunEvent]:
    plan = recovery(str(asked.run_id), folded.run.head, folded.walk, now)
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
    _check_needs(folded, asked, plan)
    continued = run_events_pb2.RunContinued(answers_sequence=asked.answers_sequence, reason=asked.reason)
    if plan.reopens is not None:
        continued.reopened.CopyFrom(plan.reopens.message())
        continued.extra_attempts = max(1, asked.extra_attempts)
    if asked.timeout_micros:
        timeout = Duration()
        timeout.FromMicroseconds(asked.timeout_micros)
        continued.timeout.CopyFrom(timeout)
    return [RunEvent(run_continued=continued)]


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
