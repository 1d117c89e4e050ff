"""What has happened in the runs that are followed, folded for showing it: node by node, with times and last words."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli.following.people import told
from perdure.cli.following.way import Way
from perdure.cli.printing.words import at, because, enum_word, printable
from perdure.runlog.effects import GUARDED, task_id
from perdure.runlog.head import RunHead, advance
from perdure.runlog.inbox import due_at
from perdure.runlog.instances import Instance, instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.states import TERMINAL, RunState
from perdure.runlog.wait_rules import ASKING
from perdure.v1 import decisions_pb2, fact_events_pb2, instances_pb2, run_events_pb2, run_states_pb2
from perdure.v1.flows_pb2 import Flow
from perdure.v1.node_events_pb2 import ChoiceMade, MapBegun, OutputStream, TaskOutput
from perdure.v1.run_events_pb2 import RecordedEvent

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


_STAGE_OF: Final = {
    instances_pb2.OUTCOME_SUCCEEDED: Stage.SUCCEEDED,
    instances_pb2.OUTCOME_FAILED: Stage.FAILED,
}

_STAGE_OF_RESOLUTION: Final = {
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


@dataclass(slots=True)
class RunStory:
    """One run."""

    run_id: str
    session_id: str = ""
    head: RunHead = field(default_factory=RunHead)
    nodes: dict[Instance, NodeStory] = field(default_factory=dict)
    began_at: datetime | None = None
    ended_at: datetime | None = None
    way: Way = field(default_factory=Way)
    paused: str = ""
    """By whom an operator's hold was last placed, and why."""
    came_to_stand: bool = False
    """Whether the last event told made it stand still, or changed what it needs while it does."""

    @property
    def done(self) -> int:
        """How many nodes of its plan have succeeded when they were last come to."""
        last = {node.where.place: node.stage for node in self.nodes.values() if not node.is_item}
        return sum(stage is Stage.SUCCEEDED for stage in last.values())

    @property
    def to_come(self) -> tuple[str, ...]:
        """Nodes that the walk has not come to; none once it is over."""
        if self.head.state in TERMINAL:
            return ()
        begun = {node.where.path[-1].node for node in self.nodes.values()}
        return tuple(node for node in self.way.nodes if node not in begun)

    @property
    def doubts(self) -> tuple[str, ...]:
        """The attempts of which nobody knows whether they happened."""
        return tuple(str(node.where) for node in self.nodes.values() if node.stage is Stage.IN_DOUBT)

    @property
    def held(self) -> bool:
        """Whether it goes on only when somebody does something, or waits for that beside a moment that it waits for."""
        asks = any(node.stage is Stage.WAITING and not node.timer for node in self.nodes.values())
        return self.head.state is RunState.PAUSED and (self.head.held or asks)

    @property
    def stands(self) -> bool:
        """Whether it does not go on by itself: it is paused, or has ended."""
        return self.held or self.head.state in TERMINAL

    @property
    def _stand(self) -> tuple[RunState, int, int]:
        return self.head.state, self.head.in_doubt, self.head.holds

    def tell(self, recorded: RecordedEvent) -> None:
        """Folds the next event of the run's log."""
        event, moment = recorded.event, at(recorded.stored_time)
        by_holder = recorded.WhichOneof("origin") == "holder"
        before = self._stand
        advance(self.head, event, recorded.stored_time.ToMicroseconds(), by_holder=by_holder)
        self.came_to_stand = self.stands and before != self._stand
        self.way.tell(event)
        match event.WhichOneof("kind"):
            case "run_created":
                self.session_id, self.began_at = event.run_created.session_id, moment
            case "node_started":
                self._started(recorded, moment)
            case "task_output":
                node = self.nodes.get(instance(event.task_output.instance))
                if node is not None:
                    node.prints(event.task_output)
            case "node_settled":
                self._settled(event, moment)
            case "node_in_doubt":
                self._move(event.node_in_doubt.instance, Stage.IN_DOUBT, event.node_in_doubt.message)
            case "wait_opened":
                self._node(event.wait_opened.instance, moment).waits(event.wait_opened, recorded.stored_time)
            case "child_started":
                self._node(event.child_started.instance, moment).starts(event.child_started)
            case "map_begun":
                self._node(event.map_begun.instance, moment).goes_over(event.map_begun)
            case "choice_made":
                stage = Stage.SUCCEEDED if event.choice_made.target else Stage.FAILED
                self._move(event.choice_made.instance, stage, _of_choice(event.choice_made))
            case "approval_voided":
                self.nodes[instance(event.approval_voided.instance)].note = event.approval_voided.message
            case "wait_closed":
                if not self.nodes[instance(event.wait_closed.instance)].backs_off:
                    self._move(event.wait_closed.instance, Stage.STOPPED, "no longer needed").ended_at = moment
            case "fact_recorded":
                self._fact(event.fact_recorded, by(recorded))
            case "lease_revoked":
                self._lose()
            case "run_ended":
                self.ended_at = moment
                self._lose()
            case "run_continued":
                self._continue(event.run_continued)

    def _node(self, message: instances_pb2.Instance, moment: datetime) -> NodeStory:
        where = instance(message)
        return self.nodes.setdefault(where, NodeStory(where, moment))

    def _move(self, message: instances_pb2.Instance, stage: Stage, note: str) -> NodeStory:
        node = self.nodes[instance(message)]
        node.stage, node.note = stage, note
        return node

    def _started(self, recorded: RecordedEvent, moment: datetime) -> None:
        started = recorded.event.node_started
        node = self._node(started.instance, moment)
        node.stage, node.guarded, node.command = Stage.STARTED, started.effect in GUARDED, started.command
        if started.command:
            node.task = task_id(self.run_id, node.where, recorded.holder.lease_id)

    def _settled(self, event: run_events_pb2.RunEvent, moment: datetime) -> None:
        settled = event.node_settled
        cause = enum_word(instances_pb2.FailureCause.DESCRIPTOR, settled.cause) if settled.cause else ""
        note = ": ".join(filter(None, (cause, settled.message)))
        if settled.retry_delay.ToMicroseconds():
            note += f"; again in {settled.retry_delay.ToTimedelta().total_seconds():.1f}s"
        node = self._move(settled.instance, _STAGE_OF.get(settled.outcome, Stage.STOPPED), note)
        node.ended_at = moment

    def _fact(self, recorded: fact_events_pb2.FactRecorded, by_whom: str) -> None:
        if recorded.hold_placed.cause == fact_events_pb2.HOLD_CAUSE_OPERATOR:
            self.paused = because(f"paused{by_whom}", recorded.hold_placed.reason)
        node = self.nodes.get(instance(recorded.instance))
        if node is None:
            return
        match recorded.WhichOneof("fact"):
            case "decision" | "approval_withdrawn":
                node.approval = ""
                node.note = told(recorded)
            case "child_ended":
                state = enum_word(run_states_pb2.RunState.DESCRIPTOR, recorded.child_ended.state)
                node.note = because(f"runs/{node.child} {state}", recorded.child_ended.message)
            case asking if asking in ASKING:
                node.note = told(recorded)
            case "wait_expired":
                node.note = "nobody decided in time" if node.approval else f"no signal {node.signal} came in time"
                node.approval = ""
            case "timer_fired":
                node.note = "its time has come" if node.timer else "it is tried again"
            case "resolution":
                kind = enum_word(fact_events_pb2.ResolutionKind.DESCRIPTOR, recorded.resolution.kind)
                node.note = because(f"resolved as {kind}{by_whom}", recorded.resolution.reason)
                node.stage = _STAGE_OF_RESOLUTION.get(recorded.resolution.kind, Stage.STOPPED)
            case "late_report":
                if recorded.late_report.reopens_doubt:
                    node.stage = Stage.IN_DOUBT
                outcome = enum_word(instances_pb2.Outcome.DESCRIPTOR, recorded.late_report.outcome)
                node.note = f"its executor says that it {outcome}"

    def _lose(self) -> None:
        """What had begun and not ended has lost its executor."""
        for node in self.nodes.values():
            if node.items is not None and node.stage is Stage.STARTED:
                node.stage = Stage.STOPPED if self.head.ended_sequence else Stage.STARTED
            elif node.stage is Stage.STARTED:
                node.stage = Stage.IN_DOUBT if node.guarded else Stage.LOST
                node.note = "its executor was lost"
            elif node.stage is Stage.WAITING and self.head.ended_sequence:
                node.stage = Stage.STOPPED

    def _continue(self, continued: run_events_pb2.RunContinued) -> None:
        """Goes on with the children and the maps that had not ended."""
        self.ended_at = None
        for child in continued.children:
            self._move(child.instance, Stage.WAITING, f"runs/{child.run_id}")
        for node in self.nodes.values():
            if node.items is not None and node.ended_at is None:
                node.stage = Stage.STARTED


@dataclass(slots=True)
class Story:
    """Everything that is followed: a flow with its runs, or one run alone."""

    alone: bool = False
    runs: dict[str, RunStory] = field(default_factory=dict)
    flow: Flow | None = None
    known: int = 0
    """Last sequence of a run that is followed alone when that began: what comes before is history."""
    plans: dict[str, WalkPlan] = field(default_factory=dict)
    """By the id of a run, its plan."""

    @property
    def cursors(self) -> dict[str, int]:
        """The last sequence told of each `runs/{run}`."""
        return {f"runs/{run.run_id}": run.head.last_sequence for run in self.runs.values()}

    def tell(self, news: Flow | RecordedEvent) -> None:
        """Takes in the next piece."""
        if isinstance(news, Flow):
            self.flow = news
        else:
            way = Way(self.plans.get(news.run_id))
            self.runs.setdefault(news.run_id, RunStory(news.run_id, way=way)).tell(news)


def _of_choice(choice: ChoiceMade) -> str:
    if choice.target:
        return f"goes on with {choice.target}"
    return f"{enum_word(instances_pb2.FailureCause.DESCRIPTOR, choice.cause)}: {choice.message}"


def by(recorded: RecordedEvent) -> str:
    """` by WHO` for what somebody asked for, and nothing for what no request is behind."""
    asked = recorded.outside.cause == run_events_pb2.OUTSIDE_CAUSE_REQUEST
    return f" by {recorded.outside.actor}" if asked else ""


def tail(node: NodeStory) -> list[str]:
    """The last lines that a node's command printed, safe to show."""
    lines = [printable(line.rstrip("\r")) for line in (*node.printed, *node.unfinished.values()) if line.strip()]
    return lines[-TAIL_LINES:]
