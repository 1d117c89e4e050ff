"""One node of a walk: where the walk stands at it, and what is remembered of it."""

from dataclasses import dataclass
from enum import Enum, auto

from perdure.runlog.instances import Step
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2


class Phase(Enum):
    """Where the walk stands at a node, in the node's present visit."""

    NOT_REACHED = auto()
    STARTED = auto()
    LOST = auto()
    """Begun under a lease that is gone, with an effect that may be repeated: the same attempt runs again."""
    WAITING = auto()
    IN_DOUBT = auto()
    AGAIN = auto()
    """Stopped or reopened: a new attempt starts."""
    ASKING = auto()
    """Its work asks a person: a new attempt starts once that one has answered, or nobody has in time."""
    MAPPING = auto()
    """A map over its items, some of which are under way or have yet to be."""
    FAILED = auto()
    CHOOSING = auto()
    """It has done what it was asked to, and which of its guarded steps is taken is to be found out."""
    SUCCEEDED = auto()
    TAKEN = auto()
    """It failed for good, and the plan goes on with another node."""
    PASSED_OVER = auto()
    """No way that was chosen leads here."""
    CUT_OFF = auto()
    """It would have come after a node that has failed, and the plan goes another way."""


@dataclass(frozen=True, slots=True)
class WentBack:
    """Why the walk went back over a node: the failure of a `source`, and the last decision that was known there."""

    source: str
    cause: instances_pb2.FailureCause.ValueType
    message: str
    decision: approval_facts_pb2.Decision | None
    region: frozenset[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the work of a node asks, and what a person is shown."""

    question: approval_facts_pb2.Question
    subject: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question: a decision, that nobody took one in time, or that it was withdrawn."""

    question: str
    """Its name."""
    recorded: fact_events_pb2.FactRecorded
    content: bytes
    """JSON of what was provided; empty where nothing was."""

    @property
    def says(self) -> bool:
        """Whether somebody has answered."""
        return self.recorded.decision.kind not in (
            decisions_pb2.DECISION_KIND_UNSPECIFIED,
            decisions_pb2.DECISION_KIND_REJECTED,
        )


@dataclass(slots=True)
class NodeWalk:
    """One place of the walk: a node of the run's plan, or an item of a map."""

    phase: Phase = Phase.NOT_REACHED
    visit: int = 0
    attempt: int = 0
    redo: int = 0
    since: int = 0
    """Sequence of the event with which its attempt last began or ended; 0 for one that is not stored yet."""
    failures: int = 0
    """Failures in a row, over visits."""
    extra_attempts: int = 0
    """Attempts an operator granted beyond the cap."""
    output: bytes = b""
    """JSON of its latest success."""
    cause: instances_pb2.FailureCause.ValueType = instances_pb2.FAILURE_CAUSE_UNSPECIFIED
    message: str = ""
    failed_items: int = 0
    """Of a shard that has completed: its items that have failed for good."""
    retry_delay: float = 0.0
    """Seconds to the next attempt, as drawn when it failed."""
    chosen: str = ""
    """The node that it went on with last, where its steps are guarded, or its failure was taken."""
    excused: bool = False
    """Whether its failure was taken, in the present visit."""
    instead: frozenset[str] = frozenset()
    """Where the walk goes on after failures that are taken, and keep from being begun what comes after this node."""
    decision: approval_facts_pb2.Decision | None = None
    """What was decided here last."""
    acted_by: frozenset[Step] = frozenset()
    """Of an approval: visits of nodes with an effect that have begun behind it since it was asked for, and did more than
    ask."""
    only_asks: bool = False
    """Whether all that came of its work in the present visit are questions."""
    asked: Asked | None = None
    """What its last attempt asks, until the next one begins."""
    answers: tuple[Answer, ...] = ()
    """What people have answered to its work, in the present visit."""
    went_back: WentBack | None = None
    """The last jump over it."""
