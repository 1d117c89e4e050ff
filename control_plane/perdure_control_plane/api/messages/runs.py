"""Runs as messages."""

from collections.abc import Iterable, Sequence

from perdure.runlog.head import Hold, RunHead
from perdure.runlog.places import Place
from perdure.runlog.states import RunState
from perdure.v1 import fact_events_pb2, run_events_pb2, run_explanations_pb2, run_recovery_pb2, runs_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.explanation import QueueReason, UnresolvedEffect
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.inbox import Wait
from perdure_control_plane.domain.playbook import version_name
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.get_recovery import FoundRecovery
from perdure_control_plane.usecases.list_effects import JudgedCheckpoint


def run(
    value: Run, waits: Iterable[Wait] = (), holds: Iterable[StandingHold] = (), queued_for: QueueReason | None = None
) -> runs_pb2.Run:
    """A run, with what it waits for, what holds it, and what keeps it in its queue."""
    who, head, waits = value.identity, value.head, list(waits)
    message = runs_pb2.Run(
        name=value.name,
        flow=f"flows/{who.flow_id}",
        session=f"sessions/{who.session_id}",
        agent=f"agents/{who.agent_id}",
        parent_run=f"runs/{who.parent_run_id}" if who.parent_run_id else "",
        playbook_version=version_name(who.playbook_id, who.playbook_version),
        state=head.state.message(),
        waits=[_wait(wait) for wait in waits],
        effects_in_doubt=head.in_doubt,
        last_sequence=head.last_sequence,
        ended_sequence=head.ended_sequence,
        failure_cause=head.failure_cause,  # type: ignore[arg-type]  # stored as the enum's number
        failure_message=head.failure_message,
        failed_instance=head.failed_instance,
        queue=who.queue,
        labels=who.labels,
        priority=who.priority,
        deadline_time=timestamp(head.deadline_at),
        create_time=timestamp(who.created_at),
        end_time=timestamp(head.ended_at),
        holds=map(hold, holds),
        part_instance=who.part_instance,
        queue_reason=_queue_reason(queued_for),
        lease=_lease(head),
    )
    message.pause_reason = pause_reason(head, waits)
    if head.stop is not None:
        message.stop = run_events_pb2.StopKind.Value(f"STOP_KIND_{head.stop}")
    if who.concurrency_key:
        message.concurrency.key, message.concurrency.limit = who.concurrency_key, who.concurrency_limit
        message.concurrency.has_place = head.place is Place.HELD
    return message


def _lease(head: RunHead) -> runs_pb2.RunLease | None:
    if head.lease_id is None:
        return None
    return runs_pb2.RunLease(lease_id=head.lease_id, executor_id=head.executor_id or "", epoch=head.epoch)


def _queue_reason(value: QueueReason | None) -> run_explanations_pb2.QueueReason.ValueType:
    if value is None:
        return run_explanations_pb2.QUEUE_REASON_UNSPECIFIED
    return run_explanations_pb2.QueueReason.Value(f"QUEUE_REASON_{value.name}")


def pause_reason(head: RunHead, waits: Sequence[Wait]) -> runs_pb2.PauseReason.ValueType:
    """What keeps a paused run from going on: the strongest hold, else what it waits for that ends by itself first."""
    if head.state is not RunState.PAUSED:
        return runs_pb2.PAUSE_REASON_UNSPECIFIED
    if head.in_doubt:
        return runs_pb2.PAUSE_REASON_EFFECT_IN_DOUBT
    for hold, reason in _HOLD_REASONS:
        if head.holds & hold:
            return reason
    return _wait_reason(waits[0]) if waits else runs_pb2.PAUSE_REASON_UNSPECIFIED


_HOLD_REASONS = (
    (Hold.TAKEOVER_LIMIT, runs_pb2.PAUSE_REASON_TAKEOVER_LIMIT),
    (Hold.STORE_RESTORED, runs_pb2.PAUSE_REASON_STORE_RESTORED),
    (Hold.OPERATOR, runs_pb2.PAUSE_REASON_OPERATOR),
    (Hold.HANDOFF, runs_pb2.PAUSE_REASON_HANDOFF),
)


def recovery(found: FoundRecovery) -> run_recovery_pb2.Recovery:
    """How a run can go on."""
    value, subject = found.recovery, found.run
    return run_recovery_pb2.Recovery(
        run=subject.name,
        state=subject.head.state.message(),
        can_continue=value.can_continue,
        goes_on_by_itself=value.goes_on_by_itself,
        checkpoint_id=value.checkpoint_id,
        answers_sequence=value.answers_sequence,
        needs=value.needs,
        done=map(str, value.done),
        open=map(str, value.open),
        in_doubt=map(in_doubt, found.in_doubt),
        reopens=str(value.reopens) if value.reopens is not None else "",
        holds=map(hold, found.holds),
    )


def hold(value: StandingHold) -> run_recovery_pb2.RunHold:
    """A hold that stands."""
    return run_recovery_pb2.RunHold(
        cause=fact_events_pb2.HoldCause.Value(f"HOLD_CAUSE_{value.cause.name}"),
        sequence=value.sequence,
        place_time=timestamp(value.placed_at),
        actor=value.actor,
        reason=value.reason,
    )


def in_doubt(value: UnresolvedEffect) -> run_recovery_pb2.EffectInDoubt:
    """An effect in doubt, since when, the name of the task behind it, and from when it may be done again."""
    return run_recovery_pb2.EffectInDoubt(
        instance=str(value.effect.instance),
        idempotency_key=value.effect.idempotency_key,
        task=value.task,
        report_sequence=value.effect.doubt.report_sequence,
        report=value.effect.doubt.report,
        retry_time=timestamp(value.retry_at),
        doubt_time=timestamp(value.doubted_at),
    )


def checkpoint(judged: JudgedCheckpoint) -> run_recovery_pb2.Checkpoint:
    """A position in a run's log, and what stands against branching from it."""
    value, safety = judged.checkpoint, judged.safety
    return run_recovery_pb2.Checkpoint(
        checkpoint_id=value.checkpoint_id,
        sequence=value.sequence,
        label=value.label,
        stored_time=value.stored_time,
        safe=safety.safe,
        unsettled=map(str, safety.unsettled),
        repeats=safety.repeats,
        guarded_repeats=safety.guarded_repeats,
        held=safety.held,
    )


def _wait(value: Wait) -> runs_pb2.Wait:
    approval = f"approvals/{value.approval_id}" if value.approval_id else ""
    return runs_pb2.Wait(
        instance=value.instance,
        approval=approval,
        deadline_time=timestamp(value.deadline_at),
        signal=value.signal,
        reason=_wait_reason(value),
        child_run=f"runs/{value.child_run_id}" if value.child_run_id else "",
    )


def _wait_reason(value: Wait) -> runs_pb2.PauseReason.ValueType:
    return runs_pb2.PauseReason.Value(f"PAUSE_REASON_{value.kind.name}")
