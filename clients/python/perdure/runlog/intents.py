"""What the interpreter says is to be done next."""

from dataclasses import dataclass

from perdure.runlog.instances import Instance
from perdure.v1 import plans_pb2
from perdure.v1.run_events_pb2 import RunEvent


@dataclass(frozen=True, slots=True)
class Record:
    """Append these events, then ask again. At most the last of them synchronises."""

    events: tuple[RunEvent, ...]


@dataclass(slots=True)  # one for each attempt: frozen, it takes four times as long to make
class Start:
    """Begin this attempt of a node."""

    node: plans_pb2.PlanNode
    instance: Instance
    redo: int
    delay: float
    """Seconds to wait before it."""
    resolution_sequence: int = 0
    """The "retry as new" it follows from."""


@dataclass(frozen=True, slots=True)
class StopWork:
    """End the work of these instances now; their settlements, or doubts, come back as events."""

    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """Evaluate the guards of the steps from this node, and record which is taken."""

    instance: Instance


Intent = Record | Start | StopWork | Choose
