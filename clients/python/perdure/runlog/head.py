"""The head of a run: what scheduling and guards need of its log, folded event by event.

The control plane stores a head as the run row, in the commit of the events it was folded from. Unlike other values here
a head changes in place: it is folded twice for every node that runs.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from enum import IntFlag, StrEnum
from typing import Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet

from perdure.runlog.effects import GUARDED
from perdure.runlog.instances import instance
from perdure.runlog.kinds import FACT_KINDS, FIRST_DATA_KIND, PROGRESS_KINDS
from perdure.runlog.places import Place
from perdure.runlog.states import (
    CONTINUABLE,
    TERMINAL,
    TRANSITIONS,
    RunState,
    run_state,
)
from perdure.v1 import fact_events_pb2, run_events_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RunEvent


class Hold(IntFlag):
    """Why nothing of a run may start. Several may stand at once; the numbers are those of HoldCause."""

    OPERATOR = 1 << fact_events_pb2.HOLD_CAUSE_OPERATOR
    TAKEOVER_LIMIT = 1 << fact_events_pb2.HOLD_CAUSE_TAKEOVER_LIMIT
    STORE_RESTORED = 1 << fact_events_pb2.HOLD_CAUSE_STORE_RESTORED
    HANDOFF = 1 << fact_events_pb2.HOLD_CAUSE_HANDOFF


class Stop(StrEnum):
    """A stop that was requested and has not ended the run yet."""

    CANCEL = "CANCEL"
    INTERRUPT = "INTERRUPT"
    DEADLINE = "DEADLINE"


STOP_ENDS: Final = {
    Stop.CANCEL: RunState.CANCELLED,
    Stop.INTERRUPT: RunState.INTERRUPTED,
    Stop.DEADLINE: RunState.TIMED_OUT,
}
"""The state a run ends in when a stop of that kind stands."""


_LOSSES: Final = frozenset({run_events_pb2.REVOCATION_CAUSE_LAPSED, run_events_pb2.REVOCATION_CAUSE_NOT_HELD})
"""Ways to lose a holder that may lie at the run itself, and are counted."""

_TERMINAL_MESSAGES: Final = frozenset(state.message() for state in TERMINAL)


class IllegalEvent(ValueError):
    """The event cannot follow the log it is folded onto."""


@dataclass(slots=True)
class RunHead:
    """Scheduling state of one run. Times are microseconds since 1970 by the store's clock; 0 means never."""

    state: RunState = RunState.QUEUED
    holds: int = 0
    """Flags of `Hold`."""
    ready: bool = True
    """Whether it could go on but for holds. QUEUED = ready and nothing holds it."""
    stop: Stop | None = None
    stop_at: int = 0
    lease_id: str | None = None
    executor_id: str | None = None
    incarnation: str | None = None
    epoch: int = 0
    generation: int = 0
    next_ordinal: int = 1
    tail: int = 0
    released_lease_id: str | None = None
    released_ordinal: int = 0
    last_sequence: int = 0
    outside_sequence: int = 0
    """Sequence of the last fact. A holder that has folded it has seen everything from outside."""
    open_effects: int = 0
    """Guarded effects begun and not settled."""
    in_doubt: int = 0
    """Those of them that an operator has yet to resolve; any of them holds the run."""
    resolved_effects: int = 0
    """Those of them that an operator has resolved and the holder has yet to settle."""
    open_waits: int = 0
    child: bool = False
    """Whether another run started it, which is told of its end."""
    children: int = 0
    """Runs that it has started."""
    fruitless_takeovers: int = 0
    """Leases lost since the run last got on; a beginning is no getting on, nor is what work says before its end."""
    deadline_at: int = 0
    ended_sequence: int = 0
    ended_at: int = 0
    failure_cause: int = 0
    failure_message: str = ""
    failed_instance: str = ""
    place: Place = Place.NONE

    @property
    def calls_executors(self) -> bool:
        """Whether somebody may be handed a run now: this one, or another that wants the place it has given back."""
        return self.state is RunState.QUEUED or self.place is Place.GIVEN_BACK

    @property
    def held(self) -> bool:
        """Whether nothing may start, for whatever reason."""
        return self.holds != 0 or self.in_doubt > 0

    def copy(self) -> "RunHead":
        """A head of its own, to fold further."""
        return RunHead(*_values(self))

    def move(self, to: RunState) -> None:
        """Changes the state. Raises IllegalEvent where the table has no such transition."""
        if to not in TRANSITIONS[self.state]:
            raise IllegalEvent(f"a run does not go from {self.state} to {to}")
        self.state = to

    def settle_readiness(self) -> None:
        """Queues a waiting run that has become ready, or takes a held one out of the queue."""
        wanted = RunState.QUEUED if self.ready and not self.held else RunState.PAUSED
        if self.state in (RunState.QUEUED, RunState.PAUSED) and self.state is not wanted:
            self.move(wanted)


_values: Final = operator.attrgetter(*(field.name for field in fields(RunHead)))


def advance(head: RunHead, event: RunEvent, at: int, *, by_holder: bool) -> None:
    """Folds the next event onto a head.

    `at` is the event's stored time in microseconds. Raises IllegalEvent, with the head as it was, where the event cannot
    follow; whether its holder was entitled to append it is not checked here.
    """
    kind = event.WhichOneof("kind")
    head.last_sequence += 1
    head.next_ordinal += by_holder
    step = _STEPS.get(kind) if kind is not None else _refuse_unknown_control
    if step is not None:
        try:
            step(head, event, at)
        except IllegalEvent:
            head.last_sequence -= 1
            head.next_ordinal -= by_holder
            raise
    if by_holder:
        if kind in PROGRESS_KINDS:
            head.fruitless_takeovers = 0
    elif kind in FACT_KINDS:
        head.outside_sequence = head.last_sequence


def _refuse_unknown_control(head: RunHead, event: RunEvent, at: int) -> None:
    unknown: Iterable[Any] = UnknownFieldSet(event)  # type: ignore[assignment]  # its stubs omit that it is iterable
    if not event.ByteSize() or any(field.field_number < FIRST_DATA_KIND for field in unknown):
        raise IllegalEvent("the event is of a kind that this version does not know")


def _created(head: RunHead, event: RunEvent, at: int) -> None:
    if head.last_sequence != 1:
        raise IllegalEvent("a run is created once")
    head.child = bool(event.run_created.lineage.parent_run_id)
    if event.run_created.HasField("timeout"):
        head.deadline_at = at + event.run_created.timeout.ToMicroseconds()
    if event.run_created.HasField("concurrency"):
        head.place = Place.WANTED


def _granted(head: RunHead, event: RunEvent, at: int) -> None:
    grant = event.lease_granted
    _check_epoch(head, grant.epoch)
    head.move(RunState.RUNNING)
    head.epoch = grant.epoch
    head.lease_id, head.executor_id, head.incarnation = grant.lease_id, grant.executor_id, grant.incarnation
    head.generation, head.next_ordinal, head.tail = grant.generation, 1, 0
    if head.place is Place.WANTED:
        head.place = Place.HELD


def _revoked(head: RunHead, event: RunEvent, at: int) -> None:
    revocation = event.lease_revoked
    if revocation.lease_id != head.lease_id:
        raise IllegalEvent("the lease that is revoked is not held")
    _check_epoch(head, revocation.epoch)
    head.epoch = revocation.epoch
    if revocation.cause in _LOSSES:
        head.fruitless_takeovers += 1
    head.in_doubt = head.open_effects - head.resolved_effects
    _drop_lease(head)
    head.ready = True
    head.move(RunState.PAUSED if head.held else RunState.QUEUED)


def _returned(head: RunHead, event: RunEvent, at: int) -> None:
    _check_nothing_guarded_runs(head)
    _release(head)
    head.ready = True
    head.move(RunState.PAUSED if head.held else RunState.QUEUED)


def _paused(head: RunHead, event: RunEvent, at: int) -> None:
    _check_nothing_guarded_runs(head)
    _release(head)
    head.ready = event.run_paused.ready
    head.move(RunState.PAUSED)
    head.settle_readiness()


def _ended(head: RunHead, event: RunEvent, at: int) -> None:
    ended = event.run_ended
    to = _terminal_state(ended.state)
    head.move(to)
    if head.lease_id is not None:
        _release(head)
    head.ended_sequence, head.ended_at, head.stop, head.stop_at = head.last_sequence, at, None, 0
    head.failure_cause, head.failure_message = ended.cause, ended.message
    head.failed_instance = _instance_text(ended)
    head.in_doubt = head.open_effects - head.resolved_effects
    head.ready, head.open_waits = False, 0
    if head.place is not Place.NONE:
        head.place = Place.GIVEN_BACK


def _terminal_state(message: run_states_pb2.RunState.ValueType) -> RunState:
    if message not in _TERMINAL_MESSAGES:
        raise IllegalEvent("a run ends in a terminal state")
    return run_state(message)


def _stop_requested(head: RunHead, event: RunEvent, at: int) -> None:
    asked = Stop(run_events_pb2.StopKind.Name(event.stop_requested.kind).removeprefix("STOP_KIND_"))
    if head.state is not RunState.RUNNING:
        raise IllegalEvent("only a run with a holder is asked to stop; any other is ended")
    if head.stop is not None and asked is not Stop.CANCEL:
        raise IllegalEvent(f"{head.stop} stands and is replaced by a cancel only")
    head.stop, head.stop_at = asked, at


def _continued(head: RunHead, event: RunEvent, at: int) -> None:
    continued = event.run_continued
    if head.state not in CONTINUABLE or continued.answers_sequence != head.ended_sequence:
        raise IllegalEvent("a continue answers the end it names, of a run that may be continued")
    head.ended_sequence = head.ended_at = head.failure_cause = head.fruitless_takeovers = 0
    head.failure_message = head.failed_instance = ""
    if continued.HasField("timeout"):
        head.deadline_at = at + continued.timeout.ToMicroseconds()
    head.ready, head.open_waits = True, len(continued.children)
    if head.place is not Place.NONE:
        head.place = Place.WANTED
    head.move(RunState.PAUSED if head.held else RunState.QUEUED)


def _node_started(head: RunHead, event: RunEvent, at: int) -> None:
    replaces = event.node_started.resolution_sequence > 0
    head.open_effects += (event.node_started.effect in GUARDED) - replaces
    head.resolved_effects -= replaces


def _node_settled(head: RunHead, event: RunEvent, at: int) -> None:
    settled = event.node_settled
    head.open_effects -= settled.effect in GUARDED
    head.resolved_effects -= settled.resolution_sequence > 0


def _node_in_doubt(head: RunHead, event: RunEvent, at: int) -> None:
    head.in_doubt += 1


def _wait_opened(head: RunHead, event: RunEvent, at: int) -> None:
    head.open_waits += 1


def _child_started(head: RunHead, event: RunEvent, at: int) -> None:
    head.open_waits += 1
    head.children += 1


def _wait_closed(head: RunHead, event: RunEvent, at: int) -> None:
    head.open_waits -= 1


def _fact_recorded(head: RunHead, event: RunEvent, at: int) -> None:
    recorded = event.fact_recorded
    match recorded.WhichOneof("fact"):
        case "decision" | "wait_expired" | "approval_withdrawn" | "timer_fired":
            head.open_waits -= 1
            head.ready = True
        case "signal":
            head.ready = head.ready or recorded.signal.awaited
        case "child_ended":
            head.open_waits -= not recorded.child_ended.stale
            head.ready = head.ready or not recorded.child_ended.stale
        case "resolution":
            head.in_doubt -= 1
            head.resolved_effects += 1
            head.fruitless_takeovers = 0
            head.ready = True
        case "late_report":
            head.in_doubt += recorded.late_report.reopens_doubt
            head.resolved_effects -= recorded.late_report.reopens_doubt
        case "hold_placed":
            head.holds |= 1 << recorded.hold_placed.cause
        case "hold_released":
            head.holds &= ~(1 << recorded.hold_released.cause)
            head.fruitless_takeovers = 0
        case "approval_escalated" | "approval_reminded" | "approval_delegated" | "approval_commented":
            pass
        case _:
            raise IllegalEvent("the fact is of a kind that this version does not know")
    head.settle_readiness()


def _fact_taken_up(head: RunHead, event: RunEvent, at: int) -> None:
    head.open_waits -= event.fact_taken_up.HasField("instance")


def _check_epoch(head: RunHead, epoch: int) -> None:
    if epoch != head.epoch + 1:
        raise IllegalEvent(f"epoch {epoch} does not follow {head.epoch}")


def _check_nothing_guarded_runs(head: RunHead) -> None:
    if head.open_effects > head.in_doubt + head.resolved_effects:
        raise IllegalEvent("a guarded effect is under way, and only its holder can say how it ends")


def _release(head: RunHead) -> None:
    head.released_lease_id, head.released_ordinal = head.lease_id, head.next_ordinal - 1
    _drop_lease(head)


def _drop_lease(head: RunHead) -> None:
    head.lease_id = head.executor_id = head.incarnation = None
    head.tail = 0


def _instance_text(ended: run_events_pb2.RunEnded) -> str:
    if not ended.HasField("failed"):
        return ""
    return str(instance(ended.failed))


_Step = Callable[[RunHead, RunEvent, int], None]
_STEPS: Final[dict[str, _Step]] = {
    "run_created": _created,
    "lease_granted": _granted,
    "lease_revoked": _revoked,
    "lease_returned": _returned,
    "run_paused": _paused,
    "run_ended": _ended,
    "stop_requested": _stop_requested,
    "run_continued": _continued,
    "node_started": _node_started,
    "node_settled": _node_settled,
    "node_in_doubt": _node_in_doubt,
    "wait_opened": _wait_opened,
    "child_started": _child_started,
    "wait_closed": _wait_closed,
    "fact_recorded": _fact_recorded,
    "fact_taken_up": _fact_taken_up,
}
