"""What a run waits for, and what has come from outside."""

from dataclasses import dataclass
from typing import Final

from perdure.runlog.instances import Instance
from perdure.v1 import fact_events_pb2, instances_pb2

RUN: Final = Instance((), 0)
"""The address of what is for the run itself, and for none of its attempts."""


def due_at(opened: fact_events_pb2.WaitOpened, at: int) -> int:
    """When the time of a wait that was opened `at` is over; 0 where it has none. Both in microseconds since 1970."""
    if opened.timer.HasField("until_time"):
        return max(1, opened.timer.until_time.ToMicroseconds())
    return at + opened.timeout.ToMicroseconds() if opened.HasField("timeout") else 0


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
    child: str = ""
    """Id of the run whose end it waits for; empty where it waits for something else."""


@dataclass(slots=True)
class Doubt:
    """An effect that began and is not known to have ended. `lost_sequence` is the loss of its lease; 0 for none."""

    cause: instances_pb2.FailureCause.ValueType
    message: str
    lost_sequence: int = 0
    resolution_sequence: int = 0
    report_sequence: int = 0
    report: fact_events_pb2.LateReported | None = None
