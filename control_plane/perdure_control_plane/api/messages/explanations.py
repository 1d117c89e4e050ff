"""Explanations as messages."""

from typing import assert_never

from perdure.runlog.states import CONTINUABLE
from perdure.v1 import run_events_pb2, run_explanations_pb2
from perdure_control_plane.api.messages.runs import hold, in_doubt
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.explanation import (
    AwaitedChild,
    Ended,
    Explanation,
    LimitReached,
    NextAttempt,
    PendingStop,
    Queued,
    Reason,
    UnderWay,
    UnresolvedEffect,
    Unserved,
)
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.inbox import Wait, WaitKind
from perdure_control_plane.domain.run import Run


def explanation(value: Explanation) -> run_explanations_pb2.RunExplanation:
    """Why a run does not go on."""
    return run_explanations_pb2.RunExplanation(
        run=value.run.name,
        state=value.run.head.state.message(),
        reasons=[_reason(reason.part or value.run, reason) for reason in value.reasons],
        read_time=timestamp(value.read_at),
        next_check_time=timestamp(value.next_check_at),
        deadline_time=timestamp(value.deadline_at),
    )


def _reason(run: Run, value: Reason) -> run_explanations_pb2.RunReason:
    part_run = value.part.name if value.part is not None else ""
    message = run_explanations_pb2.RunReason(next_check_time=timestamp(value.next_check_at), part_run=part_run)
    match value.why:
        case Ended():
            message.ended.CopyFrom(_end(run))
        case PendingStop() as stop:
            message.stop_pending.CopyFrom(_stop(stop))
        case UnresolvedEffect() as effect:
            message.in_doubt.CopyFrom(in_doubt(effect))
        case StandingHold() as standing:
            message.hold.CopyFrom(hold(standing))
        case Wait() as wait:
            _set_wait(message, wait)
        case AwaitedChild() as awaited:
            message.child.CopyFrom(_child(awaited))
        case NextAttempt() as attempt:
            message.next_attempt.CopyFrom(_attempt(attempt))
        case LimitReached() as reached:
            message.limit.CopyFrom(_limit(reached))
        case Unserved() as unserved:
            message.unserved.CopyFrom(_unserved(run, unserved))
        case Queued() as queued:
            message.queue_place.CopyFrom(_queued(run, queued))
        case UnderWay() as under_way:
            message.under_way.CopyFrom(_under_way(under_way))
        case _:
            assert_never(value.why)
    return message


def _end(run: Run) -> run_explanations_pb2.RunEnd:
    head = run.head
    return run_explanations_pb2.RunEnd(
        end_time=timestamp(head.ended_at),
        cause=head.failure_cause,  # type: ignore[arg-type]  # stored as the enum's number
        message=head.failure_message,
        can_continue=head.state in CONTINUABLE,
    )


def _stop(value: PendingStop) -> run_explanations_pb2.StopPending:
    return run_explanations_pb2.StopPending(
        kind=run_events_pb2.StopKind.Value(f"STOP_KIND_{value.kind}"),
        request_time=timestamp(value.asked_at),
        actor=value.actor,
        reason=value.reason,
    )


def _set_wait(message: run_explanations_pb2.RunReason, value: Wait) -> None:
    since = timestamp(value.opened_at)
    match value.kind:
        case WaitKind.APPROVAL:
            decision = run_explanations_pb2.AwaitedDecision(instance=value.instance, ask_time=since)
            decision.approval = f"approvals/{value.approval_id}"
            message.decision.CopyFrom(decision)
        case WaitKind.TIMER:
            message.time.CopyFrom(run_explanations_pb2.AwaitedTime(instance=value.instance, open_time=since))
        case WaitKind.SIGNAL:
            awaited = run_explanations_pb2.AwaitedSignal(instance=value.instance, open_time=since)
            awaited.signal = value.signal
            message.signal.CopyFrom(awaited)
        case WaitKind.CHILD:
            raise ValueError("a wait for a child is told together with that child")
        case WaitKind.BACKOFF:
            raise ValueError("a back-off is told as the attempt that follows it")
        case _:
            assert_never(value.kind)


def _child(value: AwaitedChild) -> run_explanations_pb2.AwaitedRun:
    return run_explanations_pb2.AwaitedRun(
        instance=value.wait.instance,
        run=value.run.name,
        state=value.run.head.state.message(),
        start_time=timestamp(value.wait.opened_at),
    )


def _attempt(value: NextAttempt) -> run_explanations_pb2.NextAttempt:
    return run_explanations_pb2.NextAttempt(
        instance=str(value.instance),
        failure_time=timestamp(value.failed_at),
        cause=value.cause,
        message=value.message,
    )


def _limit(value: LimitReached) -> run_explanations_pb2.LimitReached:
    message = run_explanations_pb2.LimitReached(
        limit=run_explanations_pb2.LimitReached.Limit.Value(f"LIMIT_{value.limit.name}"),
        name=value.name,
        value=value.value,
        count=value.count,
        runs=[f"runs/{run_id}" for run_id in value.runs],
        ready_time=timestamp(value.ready_at),
    )
    if value.period:
        message.period.FromMicroseconds(value.period)
    return message


def _unserved(run: Run, value: Unserved) -> run_explanations_pb2.Unserved:
    return run_explanations_pb2.Unserved(
        lack=run_explanations_pb2.Unserved.Lack.Value(f"LACK_{value.lack.name}"),
        queue=run.identity.queue,
        providers=value.providers,
        labels=value.labels,
        fold_version=run.identity.fold_version,
        ready_time=timestamp(value.place.ready_at),
    )


def _queued(run: Run, value: Queued) -> run_explanations_pb2.QueuePlace:
    return run_explanations_pb2.QueuePlace(
        queue=run.identity.queue,
        ahead=value.place.ahead,
        slots=value.slots,
        taken_slots=value.taken,
        ready_time=timestamp(value.place.ready_at),
    )


def _under_way(value: UnderWay) -> run_explanations_pb2.UnderWay:
    return run_explanations_pb2.UnderWay(
        executor_id=value.executor_id,
        grant_time=timestamp(value.granted_at),
        attempts=[
            run_explanations_pb2.AttemptUnderWay(instance=str(where), start_time=timestamp(since))
            for where, since in value.attempts
        ],
    )
