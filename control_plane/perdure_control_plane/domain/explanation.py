"""Why a run does not go on, or what it does: one value for each reason that there can be."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, auto

from perdure.runlog.head import Stop
from perdure.runlog.instances import Instance
from perdure.runlog.recovery import EffectInDoubt
from perdure.v1 import instances_pb2
from perdure_control_plane.domain.executor import ListedExecutor
from perdure_control_plane.domain.holds import StandingHold
from perdure_control_plane.domain.ids import RunId
from perdure_control_plane.domain.inbox import Wait
from perdure_control_plane.domain.run import Run, RunIdentity


class Lack(StrEnum):
    """What is lacking where nobody would take a ready run."""

    EXECUTOR = auto()
    QUEUE = auto()
    FOLD_VERSION = auto()
    PROVIDER = auto()
    LABEL = auto()


class QueueReason(StrEnum):
    """What keeps a queued run from being handed out, in one word."""

    LIMIT = auto()
    NO_EXECUTOR = auto()
    NO_QUEUE = auto()
    NO_FOLD_VERSION = auto()
    NO_PROVIDER = auto()
    NO_LABEL = auto()
    BEHIND_OTHERS = auto()


@dataclass(frozen=True, slots=True)
class PendingStop:
    """A stop that its holder has not carried out. Times here and below are microseconds since 1970; 0 means never."""

    kind: Stop
    asked_at: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnresolvedEffect:
    """An effect in doubt, and since when. `retry_at` is from when it may be done again; 0 for at once."""

    effect: EffectInDoubt
    doubted_at: int
    task: str
    """Name of the task behind it; empty where it is no command's."""
    retry_at: int


@dataclass(frozen=True, slots=True)
class AwaitedChild:
    """A child run that has not ended, or whose end is on its way."""

    wait: Wait
    run: Run


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """An attempt that follows a failed one by itself."""

    instance: Instance
    failed_at: int
    cause: instances_pb2.FailureCause.ValueType
    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ready run stands in its queue: since when, and behind how many others."""

    ready_at: int
    ahead: int


class Limit(StrEnum):
    """What keeps a ready run back."""

    CONCURRENCY_KEY = auto()
    QUEUE_AT_WORK = auto()
    QUEUE_RATE = auto()


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A limit that keeps a ready run from being handed out. `name` is the key's or the queue's."""

    limit: Limit
    name: str
    value: int
    ready_at: int
    count: int = 0
    """Runs that have a place, or are at work."""
    runs: tuple[RunId, ...] = ()
    """The first of them."""
    period: int = 0
    """Of a rate, in microseconds."""


@dataclass(frozen=True, slots=True)
class Unserved:
    """A ready run that no live executor would take."""

    lack: Lack
    place: Place
    providers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queued:
    """A ready run that live executors would take, which have so much room together."""

    place: Place
    slots: int
    taken: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, as its head says."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A run in the hands of an executor, and since when each attempt of it has been under way."""

    executor_id: str
    granted_at: int
    attempts: tuple[tuple[Instance, int], ...]


Why = (
    Ended
    | PendingStop
    | UnresolvedEffect
    | StandingHold
    | Wait
    | AwaitedChild
    | NextAttempt
    | LimitReached
    | Unserved
    | Queued
    | UnderWay
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, and when the server looks at it again by itself; 0 where only somebody else does anything about it."""

    why: Why
    next_check_at: int = 0
    part: Run | None = None
    """The part that it is a reason of, where the run waits for that; None for a reason of the run's own."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All reasons of a run, the strongest first, as they were at one moment."""

    run: Run
    reasons: tuple[Reason, ...]
    read_at: int

    @property
    def deadline_at(self) -> int:
        """The run's own deadline, while it has not ended."""
        return 0 if self.run.head.ended_sequence else self.run.head.deadline_at

    @property
    def next_check_at(self) -> int:
        """When the server looks at any of it again; 0 where it does not."""
        times = [reason.next_check_at for reason in self.reasons] + [self.deadline_at]
        return min((time for time in times if time), default=0)


def queue_reason(run: RunIdentity, place: Place, live: Iterable[ListedExecutor]) -> Unserved | Queued:
    """Why a ready run waits, given the executors that live: a claim asks for queue, fold version, providers, labels."""
    left = list(live)
    for lack, fits in (
        (Lack.EXECUTOR, lambda executor: True),
        (Lack.QUEUE, lambda executor: run.queue in executor.queues),
        (Lack.FOLD_VERSION, lambda executor: executor.fold_lowest <= run.fold_version <= executor.fold_highest),
    ):
        left = [listed for listed in left if fits(listed.executor)]
        if not left:
            return Unserved(lack, place)
    able = [listed for listed in left if set(run.providers) <= set(listed.executor.providers)]
    if not able:
        return Unserved(Lack.PROVIDER, place, _missing(run.providers, [one.executor.providers for one in left]))
    left, able = able, [listed for listed in able if set(run.labels) <= set(listed.executor.labels)]
    if not able:
        missing = _missing(run.labels, [one.executor.labels for one in left])
        return Unserved(Lack.LABEL, place, labels=missing)
    return Queued(place, sum(one.executor.slots for one in able), sum(one.held_runs for one in able))


def _missing(wanted: tuple[str, ...], offers: list[tuple[str, ...]]) -> tuple[str, ...]:
    """What nobody has; where somebody has each, all of it, for nobody has it together."""
    there = {word for offer in offers for word in offer}
    return tuple(word for word in wanted if word not in there) or wanted
