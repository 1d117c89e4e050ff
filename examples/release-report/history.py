"""One run as its log tells it: followed as it happens, and at the end as a tree and as a timeline."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from rich.table import Table
from rich.tree import Tree

from perdure.runlog.instances import Instance, instance
from perdure.v1.decisions_pb2 import DecisionKind
from perdure.v1.fact_events_pb2 import FactRecorded, ResolutionKind
from perdure.v1.flows_pb2 import Flow
from perdure.v1.instances_pb2 import Outcome
from perdure.v1.node_events_pb2 import NodeSettled, TaskOutput, UnitContent
from perdure.v1.run_events_pb2 import RecordedEvent, RunEvent
from perdure.v1.run_states_pb2 import RunState

BAR = 18
"""Signs that the whole run takes in the timeline."""

PRINTED = 44
"""Signs of what a command has printed last: with what stands before them they fit on a line of any terminal."""


@dataclass(slots=True)
class Execution:
    """An attempt at a node by one executor; or a person's wait, or answer."""

    where: Instance
    who: str
    began: datetime
    ended: datetime | None = None
    became: str = "under way"


@dataclass(slots=True)
class History:
    """Follows a run and keeps what it was told."""

    news: AsyncIterator[RecordedEvent]
    """The run's log, event by event."""
    tell: Callable[[str], None]
    """Called with a line for everything that happens."""
    executions: list[Execution] = field(default_factory=list)
    holder: str = ""
    """The executor that has the run."""
    began: datetime | None = None
    last: datetime | None = None

    async def until(self, wanted: Callable[[RunEvent], bool]) -> RunEvent | None:
        """Follows until an event is the wanted one, and returns it; None where the run has ended before."""
        async for recorded in self.news:
            self._take_in(recorded)
            if wanted(recorded.event):
                return recorded.event
        return None

    def _take_in(self, recorded: RecordedEvent) -> None:
        event, moment = recorded.event, recorded.stored_time.ToDatetime()
        self.began, self.last = self.began or moment, moment
        for line in self._lines(event, moment):
            self.tell(f"{(moment - self.began).total_seconds():5.1f} s  {line}")

    def _lines(self, event: RunEvent, moment: datetime) -> Iterator[str]:
        match event.WhichOneof("kind"):
            case "lease_granted":
                self.holder = event.lease_granted.executor_id
                yield f"{self.holder} takes the run"
            case "lease_revoked":
                self._end(moment, "lost")
                yield f"{self.holder} is missed: its lease is over"
            case "node_started":
                yield self._started(instance(event.node_started.instance), moment)
            case "task_output":
                printed = event.task_output.content.decode(errors="replace").rstrip().split("\n")
                shown = printed[-1] if len(printed[-1]) <= PRINTED else f"{printed[-1][: PRINTED - 1]}…"
                yield f"{_node(event.task_output)} prints: {shown}"
            case "unit_content":
                yield f"{_node(event.unit_content)} records {event.unit_content.unit}"
            case "node_settled":
                yield self._settled(event.node_settled, moment)
            case "wait_opened":
                where = instance(event.wait_opened.instance)
                self.executions.append(Execution(where, "a person", moment))
                yield f"{where.node} waits for a person, and until then no executor holds the run"
            case "fact_recorded" if event.fact_recorded.HasField("decision"):
                kind = DecisionKind.Name(event.fact_recorded.decision.kind)
                self._end(moment, _word(kind, "DECISION_KIND_"), instance(event.fact_recorded.instance))
            case "fact_recorded" if event.fact_recorded.HasField("resolution"):
                yield self._resolved(event.fact_recorded, moment)
            case "run_ended":
                yield f"the run has ended: {_word(RunState.Name(event.run_ended.state), 'RUN_STATE_')}"

    def _started(self, where: Instance, moment: datetime) -> str:
        again = any(execution.where.node == where.node for execution in self.executions)
        self.executions.append(Execution(where, self.holder, moment))
        return f"{where.node} begins{' again' if again else ''} at {self.holder}"

    def _settled(self, settled: NodeSettled, moment: datetime) -> str:
        where, outcome = instance(settled.instance), _word(Outcome.Name(settled.outcome), "OUTCOME_")
        self._end(moment, outcome, where)
        return f"{where.node} {outcome}{f': {settled.message}' if settled.message else ''}"

    def _resolved(self, recorded: FactRecorded, moment: datetime) -> str:
        where, kind = instance(recorded.instance), ResolutionKind.Name(recorded.resolution.kind)
        said = _word(kind, "RESOLUTION_KIND_")
        self.executions.append(Execution(where, "an operator", moment, moment, f"said: {said}"))
        return f"an operator says of {where.node}: {said}"

    def _end(self, moment: datetime, became: str, where: Instance | None = None) -> None:
        """Ends what is under way: at one attempt, or everywhere."""
        for execution in self.executions:
            if execution.ended is None and where in (None, execution.where):
                execution.ended, execution.became = moment, became

    def tree(self, flow: Flow) -> Tree:
        """The flow, its run, the run's nodes, and what was done for each."""
        trunk = Tree(f"{flow.name} {_word(Flow.Status.Name(flow.status), 'STATUS_')}, {flow.playbook_version}")
        branch = trunk.add(flow.root_run)
        for node in dict.fromkeys(execution.where.node for execution in self.executions):
            done = [one for one in self.executions if one.where.node == node]
            branch.add(f"{node}: {'; '.join(f'{one.who} {one.became}' for one in done)}")
        return trunk

    def timeline(self) -> Table:
        """Every execution in order, with its beginning and how long it took."""
        table = Table(box=None, pad_edge=False)
        for column in ("NODE", "BY", "BEGAN", "TOOK", "", "BECAME"):
            table.add_column(column, justify="right" if column in ("BEGAN", "TOOK") else "left", no_wrap=True)
        if self.began is None or self.last is None:
            return table
        whole = max((self.last - self.began).total_seconds(), 0.001)
        for execution in self.executions:
            began = (execution.began - self.began).total_seconds()
            took = ((execution.ended or self.last) - execution.began).total_seconds()
            left, bar = round(began / whole * BAR), max(1, round(took / whole * BAR))
            drawn = " " * min(left, BAR - 1) + "━" * min(bar, BAR - min(left, BAR - 1))
            where = execution.where
            table.add_row(where.node, execution.who, f"{began:.1f} s", f"{took:.1f} s", drawn, execution.became)
        return table


def _node(about: TaskOutput | UnitContent) -> str:
    return instance(about.instance).node


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")
