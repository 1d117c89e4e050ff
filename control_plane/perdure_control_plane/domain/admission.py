"""What of a holder's batch is stored: the append guard's rules, and the five answers.

Pure: it folds what it admits onto the head it is given. The statement that stores the result repeats the guard, so a head
that was read too early stores nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perdure.runlog.effects import GUARDED
from perdure.runlog.head import IllegalEvent, RunHead, advance
from perdure.runlog.kinds import HOLDER_KINDS, synchronises
from perdure.v1 import execution_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.ids import LeaseId, RunId


@dataclass(slots=True)
class Incoming:
    """An event as it came: its kind, its bytes as they will be stored, and, for control events, the message."""

    kind: str
    number: int
    stored: bytes
    message: RunEvent


@dataclass(slots=True)
class Batch:
    """Events of one run under one lease; `events` follow each other from `first_ordinal` without gaps."""

    run_id: RunId
    lease_id: LeaseId
    tail: int
    first_ordinal: int
    seen: int
    events: Sequence[Incoming]
    malformed: "Refused | None" = None
    """Set where an event is unfit whatever the run's state; `events` ends before it."""
    starts_children: bool = False
    """Whether any of its events starts a child run."""


@dataclass(slots=True)  # one for each batch: frozen, it takes four times as long to make
class Ack:
    """Stored, now or before."""

    ordinal: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Resend:
    """Events are missing before it."""

    from_ordinal: int


@dataclass(frozen=True, slots=True)
class Behind:
    """Stored up to there; the holder has facts to fold first, and takes back what comes after. Nothing of its tail is stored
    any more."""

    from_ordinal: int
    seen: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Stored up to there; the content at that ordinal is not acceptable."""

    from_ordinal: int
    reason: execution_pb2.RefusalReason.ValueType
    message: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The lease is gone."""


Answer = Ack | Resend | Behind | Refused | Rejected

_BEGINNINGS: Final = frozenset({"node_started", "wait_opened", "child_started"})


def admit(head: RunHead, batch: Batch, at: int) -> tuple[Answer, Sequence[Incoming]]:
    """Folds what may be stored of the batch onto `head`, and returns the answer and those events.

    `at` is the time they will be stored with. Where the events returned are empty nothing is folded, and the head has at
    most another tail: the holder takes back what is not stored, whatever else arrives of it later and elsewhere.
    """
    last = batch.first_ordinal + len(batch.events) - 1
    if head.lease_id != batch.lease_id:
        repeated = head.released_lease_id == batch.lease_id and last <= head.released_ordinal
        return (Ack(head.released_ordinal, head.last_sequence) if repeated else Rejected()), ()
    if batch.tail < head.tail:
        return Behind(head.next_ordinal, batch.seen), ()  # a holder that has raised its tail passes over it
    if batch.first_ordinal > head.next_ordinal:
        return Resend(head.next_ordinal), ()
    fresh = batch.events[head.next_ordinal - batch.first_ordinal :]
    admitted, refusal = _admit_fresh(head, batch, fresh, at)
    answer = refusal or batch.malformed or Ack(_acknowledged(head, batch), head.last_sequence)
    if head.lease_id is not None and (admitted or _is_taken_back(answer)):
        head.tail = batch.tail + _is_taken_back(answer)
    return answer, fresh[:admitted]


def _is_taken_back(answer: Answer) -> bool:
    """Whether the holder drops what follows and goes on with the next tail."""
    child_refused = execution_pb2.REFUSAL_REASON_CHILD_REFUSED
    return isinstance(answer, Behind) or (isinstance(answer, Refused) and answer.reason == child_refused)


def _admit_fresh(
    head: RunHead, batch: Batch, fresh: Sequence[Incoming], at: int
) -> tuple[int, Behind | Refused | None]:
    for index, incoming in enumerate(fresh):
        ordinal = head.next_ordinal
        if incoming.kind not in HOLDER_KINDS:
            return index, Refused(
                ordinal, execution_pb2.REFUSAL_REASON_MALFORMED, f"a holder does not append {incoming.kind}"
            )
        synchronising = synchronises(incoming.message, incoming.kind)
        if synchronising and (index + 1 < len(fresh) or batch.malformed is not None):
            reason = execution_pb2.REFUSAL_REASON_SYNCHRONISING_NOT_LAST
            return index, Refused(ordinal, reason, f"{incoming.kind} is not the last of its batch")
        forbidden = _forbids_beginning(head, incoming)
        if synchronising or forbidden:
            if batch.seen < head.outside_sequence:
                return index, Behind(ordinal, batch.seen)
            if forbidden:
                return index, Refused(ordinal, execution_pb2.REFUSAL_REASON_ILLEGAL_STATE, forbidden)
        try:
            advance(head, incoming.message, at, by_holder=True)
        except IllegalEvent as illegal:
            return index, Refused(ordinal, execution_pb2.REFUSAL_REASON_ILLEGAL_STATE, str(illegal))
    return len(fresh), None


def _forbids_beginning(head: RunHead, incoming: Incoming) -> str:
    if incoming.kind not in _BEGINNINGS or (head.stop is None and not head.held):
        return ""
    started = incoming.message.node_started
    if incoming.kind == "node_started" and started.ran_ahead and started.effect not in GUARDED:
        return ""
    return f"{incoming.kind} under a stop or a hold that its holder knows of"


def _acknowledged(head: RunHead, batch: Batch) -> int:
    if head.lease_id == batch.lease_id:
        return head.next_ordinal - 1
    return head.released_ordinal
