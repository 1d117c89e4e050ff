"""What has happened in the runs that are followed, folded for showing it: node by node, with times and last words."""

from dataclasses import dataclass, field
from datetime import datetime

from perdure.cli.following.node_story import STAGE_OF, NodeStory, Stage
from perdure.cli.following.way import Way
from perdure.cli.printing.words import at, because, enum_word
from perdure.runlog.effects import GUARDED, task_id
from perdure.runlog.head import RunHead, advance
from perdure.runlog.instances import Instance, instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.states import TERMINAL, RunState
from perdure.v1 import fact_events_pb2, instances_pb2, run_events_pb2
from perdure.v1.flows_pb2 import Flow
from perdure.v1.node_events_pb2 import ChoiceMade
from perdure.v1.run_events_pb2 import RecordedEvent


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
        node = self._move(settled.instance, STAGE_OF.get(settled.outcome, Stage.STOPPED), note)
        node.ended_at = moment

    def _fact(self, recorded: fact_events_pb2.FactRecorded, by_whom: str) -> None:
        if recorded.hold_placed.cause == fact_events_pb2.HOLD_CAUSE_OPERATOR:
            self.paused = because(f"paused{by_whom}", recorded.hold_placed.reason)
        node = self.nodes.get(instance(recorded.instance))
        if node is None:
            return
        node.takes(recorded, by_whom)

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
