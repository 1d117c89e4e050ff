"""What became of a node's work."""

from dataclasses import dataclass

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import approval_facts_pb2, instances_pb2, node_events_pb2
from perdure_executor.secret_sources import SecretUnavailable


@dataclass(slots=True)  # one for each attempt: frozen, it takes four times as long to make
class Succeeded:
    """It did what it was asked to."""

    output: JsonObject | None = None
    task: node_events_pb2.TaskResult | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not, and it is known that it is over."""

    cause: instances_pb2.FailureCause.ValueType
    message: str
    task: node_events_pb2.TaskResult | None = None
    output: JsonObject | None = None
    """What the work gave that succeeded, and broke its node's promise."""
    begun: bool = True
    """False where it is known that nothing of the work has happened, whatever the cause."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """It was ended from outside before it was done, or before it had `begun` at all."""

    task: node_events_pb2.TaskResult | None = None
    begun: bool = True
    message: str = "it was stopped while it ran"


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Its time was over before it had ended; it has ended since, by itself or not."""

    message: str
    task: node_events_pb2.TaskResult | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """It asks a person before it goes on, and has ended; with the answer it begins again."""

    question: approval_facts_pb2.Question
    subject: bytes
    """Canonical JSON of what that person is shown."""


Result = Succeeded | Failed | Stopped | TimedOut | Asked


def fault_of_ours(error: BaseException, *, begun: bool = True) -> Failed:
    """The failure of one node for a program error in the executor."""
    # Its text may hold what the node was given, which belongs to no event that everybody sees.
    message = f"{type(error).__name__} in the executor, whose log has the rest"
    return Failed(instances_pb2.FAILURE_CAUSE_INTERNAL, message, begun=begun)


def without_its_secret(error: SecretUnavailable) -> Failed:
    """The failure of a node that refers to a secret which cannot be had: nothing of it has happened."""
    return Failed(instances_pb2.FAILURE_CAUSE_SECRET_UNAVAILABLE, str(error), begun=False)


class CannotPrepare(Exception):
    """The node cannot be begun at all; the attempt fails with this cause."""

    def __init__(self, cause: instances_pb2.FailureCause.ValueType, message: str) -> None:
        super().__init__(message)
        self.failure = Failed(cause, message)
