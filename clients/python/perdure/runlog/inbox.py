"""What a run waits for, and what has come from outside."""

from dataclasses import dataclass

from perdure.v1 import fact_events_pb2, instances_pb2


@dataclass(slots=True)
class Fact:
    """Something in the inbox."""

    recorded: fact_events_pb2.FactRecorded
    content: bytes
    taken: bool = False
    void: bool = False


@dataclass(slots=True)
class OpenWait:
    """What an instance waits for."""

    opened: fact_events_pb2.WaitOpened
    subject: bytes
    fact_sequence: int = 0
    """The fact that resolved it; 0 while it is open."""


@dataclass(slots=True)
class Doubt:
    """An effect that began and is not known to have ended. `lost_sequence` is the loss of its lease; 0 for none."""

    cause: instances_pb2.FailureCause.ValueType
    message: str
    lost_sequence: int = 0
    resolution_sequence: int = 0
    report_sequence: int = 0
    report: fact_events_pb2.LateReported | None = None
