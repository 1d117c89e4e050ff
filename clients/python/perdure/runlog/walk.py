"""The state of a walk: what the interpreter needs of a run's log, folded event by event.

State = (walk in order, inbox as a set): facts only ever add to the inbox, and nothing they bring takes effect before
the holder takes them up, so how they interleave with the walk cannot matter. Like a head, a walk changes in place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from perdure.runlog.effects import GUARDED
from perdure.runlog.head import Stop
from perdure.runlog.inbox import Doubt, Fact, OpenWait
from perdure.runlog.instances import Instance, Step, instance
from perdure.runlog.node_walk import NodeWalk, Phase, WentBack
from perdure.runlog.plans import WalkPlan
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2, run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent


@dataclass(slots=True)
class Walk:
    """The state of one run's walk over one plan."""

    plan: WalkPlan
    nodes: dict[str, NodeWalk] = field(default_factory=dict)
    lineage_id: str = ""
    prefix: tuple[Step, ...] = ()
    prefix_redos: tuple[int, ...] = ()
    input: bytes = b"{}"
    content: str = ""
    seen: int = 0
    """Sequence of the last fact folded."""
    facts: dict[int, Fact] = field(default_factory=dict)
    waits: dict[Instance, OpenWait] = field(default_factory=dict)
    doubts: dict[Instance, Doubt] = field(default_factory=dict)
    units: dict[Instance, dict[str, bytes]] = field(default_factory=dict)
    """Recorded units of agents under way."""
    frontier: set[str] = field(default_factory=set)
    """Nodes of which a predecessor succeeded, and which have not been reached since."""
    active: set[str] = field(default_factory=set)
    """Nodes begun and not settled, or settled in a way that something still follows from."""
    holds: dict[fact_events_pb2.HoldCause.ValueType, int] = field(default_factory=dict)
    """Holds that stand, each with the sequence of the fact that placed it."""
    stop: Stop | None = None
    jump: run_events_pb2.JumpBegun | None = None
    jumps: int = 0
    ended: run_events_pb2.RunEnded | None = None
    pending: dict[Instance, bytes] = field(default_factory=dict)
    """The holder's data that precedes the control event it belongs to: an output, a subject."""
    contents: dict[Instance, bytes] = field(default_factory=dict)
    """What a person wrote, ahead of the fact it belongs to."""

    def __post_init__(self) -> None:
        self.nodes = {node: NodeWalk() for node in self.plan.nodes}
        self.frontier = set(self.plan.entries)

    @property
    def held(self) -> bool:
        """Whether nothing may start: a hold stands, or an effect in doubt has no answer."""
        if self.holds or not self.doubts:
            return bool(self.holds)
        return any(not doubt.resolution_sequence for doubt in self.doubts.values())

    @property
    def complete(self) -> bool:
        """Whether everything that can be reached has succeeded or been passed over, so that nothing is left to do."""
        return not self.active and not self.frontier

    def instance(self, node: str) -> Instance:
        """The address of a node's present attempt."""
        state = self.nodes[node]
        return Instance((*self.prefix, Step(node, state.visit)), state.attempt)

    def redos(self, node: str) -> tuple[int, ...]:
        """The redo of every level of a node's path; part of its idempotency key."""
        return (*self.prefix_redos, self.nodes[node].redo)

    def taken_before(self, node: str) -> tuple[str, ...]:
        """Everything before a node that the walk did not pass over, in the order in which outputs are merged."""
        ancestors = self.plan.ancestors(node)
        if not self.plan.choices:
            return ancestors
        return tuple(other for other in ancestors if self.nodes[other].phase is not Phase.PASSED_OVER)

    def last_decision(self, node: str) -> fact_events_pb2.Decision | None:
        """The last decision that a node knows of: of a node before it, or of the failure that the walk went back for."""
        decided = [other for other in self.taken_before(node) if self.nodes[other].decision is not None]
        back = self.nodes[node].went_back
        again = [other for other in decided if back is not None and other in back.region]
        if again or back is None or back.decision is None:
            return self.nodes[(again or decided)[-1]].decision if decided else None
        return back.decision

    def jumps_over(self, node: str) -> bool:
        """Whether the walk is going back over a node."""
        return self.jump is not None and node in self.jump.region

    def untaken(self) -> list[tuple[int, Fact]]:
        """Facts that the holder has yet to take up, in order."""
        if not self.facts:
            return []
        return [(sequence, fact) for sequence, fact in self.facts.items() if not fact.taken and not fact.void]

    def apply(self, event: RunEvent, sequence: int) -> None:
        """Folds the next event. `sequence` may be 0 for events of the holder's own that are not stored yet."""
        kind = event.WhichOneof("kind")
        step = _STEPS.get(kind) if kind else None
        if step is not None:
            step(self, event, sequence)


def _created(walk: Walk, event: RunEvent, sequence: int) -> None:
    lineage = event.run_created.lineage
    walk.lineage_id = lineage.lineage_id
    walk.prefix = tuple(Step(step.node, step.visit, step.item) for step in lineage.prefix)
    walk.prefix_redos = tuple(lineage.prefix_redos)


def _input(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.input, walk.content = event.run_input.json, event.run_input.content


def _lease_gone(walk: Walk, event: RunEvent, sequence: int) -> None:
    for node in walk.active:
        state = walk.nodes[node]
        if state.phase is Phase.STARTED:
            _lose(walk, node, state, sequence)


def _lose(walk: Walk, node: str, state: NodeWalk, sequence: int) -> None:
    if walk.plan.nodes[node].effect in GUARDED:
        state.phase = Phase.IN_DOUBT
        walk.doubts[walk.instance(node)] = Doubt(instances_pb2.FAILURE_CAUSE_EXECUTOR_LOST, "", sequence)
    else:
        state.phase = Phase.LOST


def _ended(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.ended, walk.stop, walk.jump = event.run_ended, None, None
    _lease_gone(walk, event, sequence)
    walk.waits.clear()
    for fact in walk.facts.values():
        # A resolution outlives the end: it says what happened to an effect, whatever becomes of the run.
        fact.void = fact.void or (not fact.taken and fact.recorded.WhichOneof("fact") != "resolution")


def _continued(walk: Walk, event: RunEvent, sequence: int) -> None:
    continued = event.run_continued
    walk.ended, walk.seen = None, sequence
    for node in walk.active:
        state = walk.nodes[node]
        if state.phase in (Phase.WAITING, Phase.LOST):
            state.phase = Phase.AGAIN
    if continued.HasField("reopened"):
        state = walk.nodes[instance(continued.reopened).node]
        state.phase, state.extra_attempts = Phase.AGAIN, state.extra_attempts + continued.extra_attempts


def _stop_requested(walk: Walk, event: RunEvent, sequence: int) -> None:
    name = run_events_pb2.StopKind.Name(event.stop_requested.kind)
    walk.stop, walk.seen = Stop(name.removeprefix("STOP_KIND_")), sequence


def _node_started(walk: Walk, event: RunEvent, sequence: int) -> None:
    started = event.node_started
    where = started.instance
    step, attempt = where.path[-1], where.attempt
    node, visit = step.node, step.visit
    state = walk.nodes[node]
    state.phase, state.visit, state.attempt, state.redo = Phase.STARTED, visit, attempt, started.redo
    walk.frontier.discard(node)
    walk.active.add(node)
    if started.resolution_sequence:
        walk.doubts.pop(Instance((*walk.prefix, Step(node, visit)), attempt - 1), None)
    if walk.pending:
        walk.pending.pop(instance(started.instance), None)  # what a lost execution of it had produced


def _node_settled(walk: Walk, event: RunEvent, sequence: int) -> None:
    settled = event.node_settled
    node = settled.instance.path[-1].node
    state = walk.nodes[node]
    output = b""
    if walk.pending or walk.doubts or walk.waits or walk.units:
        where = instance(settled.instance)
        output = walk.pending.pop(where, b"")
        walk.doubts.pop(where, None)
        walk.waits.pop(where, None)
        walk.units.pop(where, None)
    match settled.outcome:
        case instances_pb2.OUTCOME_SUCCEEDED:
            _succeed(walk, node, state, output)
        case instances_pb2.OUTCOME_FAILED:
            _fail(walk, node, state, settled)
        case instances_pb2.OUTCOME_JUMPED_OVER:
            state.phase = Phase.NOT_REACHED
            walk.active.discard(node)
        case _:
            state.phase = Phase.AGAIN


def _succeed(walk: Walk, node: str, state: NodeWalk, output: bytes) -> None:
    if walk.plan.choices:
        _succeed_where_steps_are_guarded(walk, node, state, output)
        return
    state.phase, state.output, state.failures, state.extra_attempts = Phase.SUCCEEDED, output, 0, 0
    walk.active.discard(node)
    for after in walk.plan.successors[node]:
        if all(walk.nodes[before].phase is Phase.SUCCEEDED for before in walk.plan.predecessors[after]):
            walk.frontier.add(after)


def _succeed_where_steps_are_guarded(walk: Walk, node: str, state: NodeWalk, output: bytes) -> None:
    state.output = output
    if node in walk.plan.choices:
        state.phase = Phase.CHOOSING
    else:
        _leave(walk, node, state)


def _leave(walk: Walk, node: str, state: NodeWalk) -> None:
    state.phase, state.failures, state.extra_attempts = Phase.SUCCEEDED, 0, 0
    walk.active.discard(node)
    _go_on_from(walk, node)


def _go_on_from(walk: Walk, node: str) -> None:
    """Reaches what the steps from a node lead to, once everything before it is decided; passes over what none leads to."""
    due = list(walk.plan.successors[node])
    for after in due:
        state = walk.nodes[after]
        if state.phase is not Phase.NOT_REACHED or after in walk.frontier:
            continue
        steps = [_is_taken(walk, before, after) for before in walk.plan.predecessors[after]]
        if None in steps:
            continue
        if any(steps):
            walk.frontier.add(after)
        else:
            state.phase = Phase.PASSED_OVER
            due.extend(walk.plan.successors[after])


def _is_taken(walk: Walk, before: str, after: str) -> bool | None:
    """Whether the walk takes a step; None where that is not decided."""
    state = walk.nodes[before]
    match state.phase:
        case Phase.SUCCEEDED:
            return before not in walk.plan.choices or state.chosen == after
        case Phase.PASSED_OVER:
            return False
        case _:
            return None


def _choice_made(walk: Walk, event: RunEvent, sequence: int) -> None:
    choice = event.choice_made
    node = choice.instance.path[-1].node
    state = walk.nodes[node]
    if choice.cause:
        state.phase, state.failures = Phase.FAILED, state.failures + 1
        state.cause, state.message, state.retry_delay = choice.cause, choice.message, 0.0
        return
    state.chosen = choice.target
    _leave(walk, node, state)


def _fail(walk: Walk, node: str, state: NodeWalk, settled: node_events_pb2.NodeSettled) -> None:
    state.phase, state.failures = Phase.FAILED, state.failures + 1
    state.cause, state.message = settled.cause, settled.message
    state.retry_delay = settled.retry_delay.ToMicroseconds() / 1e6


def _node_in_doubt(walk: Walk, event: RunEvent, sequence: int) -> None:
    where = instance(event.node_in_doubt.instance)
    walk.nodes[where.node].phase = Phase.IN_DOUBT
    walk.doubts[where] = Doubt(event.node_in_doubt.cause, event.node_in_doubt.message)


def _wait_opened(walk: Walk, event: RunEvent, sequence: int) -> None:
    where = instance(event.wait_opened.instance)
    state = walk.nodes[where.node]
    state.phase, state.visit, state.attempt, state.redo = Phase.WAITING, where.visit, where.attempt, 0
    walk.frontier.discard(where.node)
    walk.active.add(where.node)
    walk.waits[where] = OpenWait(event.wait_opened, walk.pending.pop(where, b""))


def _wait_closed(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.waits.pop(instance(event.wait_closed.instance), None)


def _fact_recorded(walk: Walk, event: RunEvent, sequence: int) -> None:
    recorded = event.fact_recorded
    where = instance(recorded.instance) if recorded.HasField("instance") else None
    walk.seen = sequence
    match recorded.WhichOneof("fact"):
        case "hold_placed":
            walk.holds[recorded.hold_placed.cause] = sequence
        case "hold_released":
            walk.holds.pop(recorded.hold_released.cause, None)
        case "late_report" if where in walk.doubts:
            _reported(walk, walk.doubts[where], recorded.late_report, sequence)
        case "decision" | "wait_expired" if where in walk.waits:
            walk.waits[where].fact_sequence = sequence
            walk.facts[sequence] = Fact(recorded, walk.contents.pop(where, b""))
        case "resolution" if where in walk.doubts:
            walk.doubts[where].resolution_sequence = sequence
            walk.facts[sequence] = Fact(recorded, walk.contents.pop(where, b""))


def _reported(walk: Walk, doubt: Doubt, report: fact_events_pb2.LateReported, sequence: int) -> None:
    doubt.report_sequence, doubt.report = sequence, report
    if report.reopens_doubt:
        walk.facts[doubt.resolution_sequence].void = True
        doubt.resolution_sequence = 0


def _fact_taken_up(walk: Walk, event: RunEvent, sequence: int) -> None:
    fact = walk.facts[event.fact_taken_up.sequence]
    fact.taken = True
    if fact.recorded.WhichOneof("fact") == "decision":
        walk.nodes[instance(fact.recorded.instance).node].decision = fact.recorded.decision


def _jump_begun(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.jump, walk.jumps = event.jump_begun, walk.jumps + 1


def _jumped(walk: Walk, event: RunEvent, sequence: int) -> None:
    jump, walk.jump = walk.jump, None
    if jump is None:
        raise ValueError("the walk goes on after a jump that it has not begun")
    source = instance(jump.source).node
    failed, region = walk.nodes[source], frozenset(jump.region)
    known = failed.decision or walk.last_decision(source)
    why = WentBack(source, failed.cause, failed.message, known, region)
    for where in [where for where in walk.waits if where.node in region]:
        _void(walk, walk.waits.pop(where).fact_sequence)
    for node in region:
        state = walk.nodes[node]
        state.phase, state.went_back = Phase.NOT_REACHED, why
    walk.frontier -= region
    walk.active -= region
    walk.frontier.add(event.jumped.target)


def _void(walk: Walk, sequence: int) -> None:
    if sequence and not walk.facts[sequence].taken:
        walk.facts[sequence].void = True


def _output(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.pending[instance(event.node_output.instance)] = event.node_output.json


def _subject(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.pending[instance(event.wait_subject.instance)] = event.wait_subject.canonical_json


def _content(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.contents[instance(event.fact_content.instance)] = event.fact_content.json


def _unit(walk: Walk, event: RunEvent, sequence: int) -> None:
    content = event.unit_content
    walk.units.setdefault(instance(content.instance), {})[content.unit] = content.json


_Step = Callable[[Walk, RunEvent, int], None]
_STEPS: Final[dict[str, _Step]] = {
    "run_created": _created,
    "run_input": _input,
    "lease_revoked": _lease_gone,
    "lease_returned": _lease_gone,
    "run_ended": _ended,
    "run_continued": _continued,
    "stop_requested": _stop_requested,
    "node_started": _node_started,
    "node_output": _output,
    "node_settled": _node_settled,
    "node_in_doubt": _node_in_doubt,
    "unit_content": _unit,
    "wait_subject": _subject,
    "wait_opened": _wait_opened,
    "wait_closed": _wait_closed,
    "fact_content": _content,
    "fact_recorded": _fact_recorded,
    "fact_taken_up": _fact_taken_up,
    "jump_begun": _jump_begun,
    "jumped": _jumped,
    "choice_made": _choice_made,
}
