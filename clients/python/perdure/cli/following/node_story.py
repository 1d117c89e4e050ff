"""What has happened to one attempt at a node, folded for showing it."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli.following.people import told
from perdure.cli.printing.words import because, enum_word, printable
from perdure.runlog.inbox import due_at
from perdure.runlog.instances import Instance
from perdure.runlog.wait_rules import ASKING
from perdure.v1 import decisions_pb2, fact_events_pb2, instances_pb2, run_states_pb2
from perdure.v1.node_events_pb2 import MapBegun, OutputStream, TaskOutput

TAIL_LINES: Final = 5
_LONGEST_LINE: Final = 4096


class Stage(Enum):
    """Where an attempt at a node stands."""

    STARTED = auto()
    WAITING = auto()
    IN_DOUBT = auto()
    LOST = auto()
    """Its executor was lost, and it will be begun again."""
    SUCCEEDED = auto()
    FAILED = auto()
    STOPPED = auto()


STAGE_OF: Final = {
    instances_pb2.OUTCOME_SUCCEEDED: Stage.SUCCEEDED,
    instances_pb2.OUTCOME_FAILED: Stage.FAILED,
}

_RESOLVED: Final = {
    fact_events_pb2.RESOLUTION_KIND_DONE: Stage.SUCCEEDED,
    fact_events_pb2.RESOLUTION_KIND_FAILED: Stage.FAILED,
}
"""What is to be repeated is a new attempt; this one has stopped."""


@dataclass(slots=True)
class NodeStory:
    """One attempt at a node."""

    where: Instance
    began_at: datetime
    stage: Stage = Stage.STARTED
    ended_at: datetime | None = None
    guarded: bool = False
    command: str = ""
    task: str = ""
    """Id of the task that runs its command."""
    approval: str = ""
    """Id of the approval it waits for, while nobody has decided it and its time is not over."""
    asks: bool = False
    """Whether its work has asked a person, and another attempt comes after the answer."""
    allowed: tuple[decisions_pb2.DecisionKind.ValueType, ...] = ()
    """Decisions that it accepts."""
    signal: str = ""
    """Name of the signal that it waits for."""
    backs_off: bool = False
    """Whether it has failed and a back-off follows, before the attempt after it."""
    timer: bool = False
    """Whether it waits for a moment, which comes by itself."""
    child: str = ""
    """Id of the run that it started."""
    items: int | None = None
    """How many items it is over, where it is a map; or how many shards."""
    in_shards: bool = False
    note: str = ""
    printed: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    """Last whole lines that its command printed, on either stream."""
    unfinished: dict[OutputStream.ValueType, str] = field(default_factory=dict)
    """The beginning of the next line of each stream."""

    @property
    def is_item(self) -> bool:
        """Whether it is an item of a map."""
        return self.where.path[-1].item > 0

    @property
    def has_printed(self) -> bool:
        """Whether its command has printed anything."""
        return bool(self.printed) or any(self.unfinished.values())

    def prints(self, output: TaskOutput) -> None:
        """Takes in what its command prints."""
        text = self.unfinished.get(output.stream, "") + output.content.decode(errors="replace")
        *lines, unfinished = text.split("\n")
        self.printed.extend(line[-_LONGEST_LINE:] for line in lines)
        self.unfinished[output.stream] = unfinished[-_LONGEST_LINE:]

    def waits(self, opened: fact_events_pb2.WaitOpened, stored: Timestamp) -> None:
        """Takes in that it begins to wait. A back-off after it is not its own: it stays what it has come to."""
        if opened.HasField("backoff"):
            self.backs_off = True
            return
        self.stage, self.approval, self.note = Stage.WAITING, opened.approval.approval_id, opened.approval.prompt
        self.allowed = tuple(opened.approval.allowed)
        self.asks = bool(opened.approval.question)
        due = due_at(opened, stored.ToMicroseconds())
        until = f"until {datetime.fromtimestamp(due / 1e6, UTC):%Y-%m-%d %H:%M:%SZ}" if due else ""
        match opened.WhichOneof("wait"):
            case "timer":
                self.timer, self.note = True, until
            case "signal":
                self.signal = opened.signal.name
                self.note = f"for the signal {self.signal}{f', {until}' if until else ''}"

    def starts(self, child: fact_events_pb2.ChildStarted) -> None:
        """Takes in that it starts another run, and waits for its end."""
        self.stage, self.child, self.note = Stage.WAITING, child.run_id, f"runs/{child.run_id}"

    def goes_over(self, begun: MapBegun) -> None:
        """Takes in that it is a map, and begins."""
        self.items, self.note = begun.count, f"goes over {begun.count} item{'' if begun.count == 1 else 's'}"
        if begun.shard_size:
            self.items, self.in_shards = -(-begun.count // begun.shard_size), True
            self.note += f" in {self.items} shards"

    def takes(self, recorded: fact_events_pb2.FactRecorded, by_whom: str) -> None:
        """Takes in what has come for it from outside."""
        fact = recorded.WhichOneof("fact")
        if self.asks and fact not in ASKING:
            self.stage = Stage.STOPPED  # another attempt goes on
        match fact:
            case "decision" | "approval_withdrawn":
                self.approval = ""
                self.note = told(recorded)
            case "child_ended":
                state = enum_word(run_states_pb2.RunState.DESCRIPTOR, recorded.child_ended.state)
                self.note = because(f"runs/{self.child} {state}", recorded.child_ended.message)
            case asking if asking in ASKING:
                self.note = told(recorded)
            case "wait_expired":
                self.note = "nobody decided in time" if self.approval else f"no signal {self.signal} came in time"
                self.approval = ""
            case "timer_fired":
                self.note = "its time has come" if self.timer else "it is tried again"
            case "resolution":
                kind = enum_word(fact_events_pb2.ResolutionKind.DESCRIPTOR, recorded.resolution.kind)
                self.note = because(f"resolved as {kind}{by_whom}", recorded.resolution.reason)
                self.stage = _RESOLVED.get(recorded.resolution.kind, Stage.STOPPED)
            case "late_report":
                if recorded.late_report.reopens_doubt:
                    self.stage = Stage.IN_DOUBT
                outcome = enum_word(instances_pb2.Outcome.DESCRIPTOR, recorded.late_report.outcome)
                self.note = f"its executor says that it {outcome}"


def tail(node: NodeStory) -> list[str]:
    """The last lines that a node's command printed, safe to show."""
    lines = [printable(line.rstrip("\r")) for line in (*node.printed, *node.unfinished.values()) if line.strip()]
    return lines[-TAIL_LINES:]
