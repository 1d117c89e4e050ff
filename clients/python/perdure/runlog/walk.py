"""The state of a walk: what the interpreter needs of a run's log. `folding` folds the log into it, event by event."""

from dataclasses import dataclass, field

from perdure.runlog.head import Stop
from perdure.runlog.inbox import Doubt, Fact, OpenWait
from perdure.runlog.instances import Instance, Step, item_place, node_of, step_at
from perdure.runlog.node_walk import NodeWalk, Phase
from perdure.runlog.plans import WalkPlan, starts_a_run
from perdure.v1 import approval_facts_pb2, fact_events_pb2, node_events_pb2, plans_pb2, run_events_pb2


@dataclass(slots=True)
class OpenMap:
    """What a map is over in its present visit. Its items are places of the walk."""

    begun: node_events_pb2.MapBegun
    """The last attempt's beginning."""
    items: bytes
    """JSON of the list."""


@dataclass(slots=True)
class Walk:
    """The state of one run's walk over one plan."""

    plan: WalkPlan
    nodes: dict[str, NodeWalk] = field(default_factory=dict)
    """By place: every node of the plan, and every item of the maps that are under way or have failed."""
    maps: dict[str, OpenMap] = field(default_factory=dict)
    """By node id, those maps."""
    lineage_id: str = ""
    prefix: tuple[Step, ...] = ()
    prefix_redos: tuple[int, ...] = ()
    input: bytes = b"{}"
    content: str = ""
    part: run_events_pb2.RunPart | None = None
    """The attempt of its parent that it does; its input is what is seen there. None where it is no part run."""
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
    """Places begun and not settled, or settled in a way that something still follows from."""
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

    def instance(self, place: str) -> Instance:
        """The address of the present attempt at a place."""
        state = self.nodes[place]
        return Instance((*self.prefix, step_at(place, state.visit)), state.attempt)

    def redos(self, place: str) -> tuple[int, ...]:
        """The redo of every level of a place's path; part of its idempotency key."""
        return (*self.prefix_redos, self.nodes[place].redo)

    def spec(self, place: str) -> plans_pb2.PlanNode:
        """What is done at a place: the node, what is inside a map for each item, or what does each shard of it."""
        known = self.plan.nodes.get(place)
        if known is not None:
            return known
        node = node_of(place)
        found = self.maps.get(node)
        if found is not None and found.begun.shard_size:
            return self.plan.shard(node)
        return self.plan.nodes[node].map.node

    def items(self, node: str) -> tuple[str, ...]:
        """The places of a map's items, in their order, or of its shards, each named after its first item; none where it has
        none, or is over, or is no map."""
        found = self.maps.get(node)
        if found is None:
            return ()
        begun = found.begun
        indexes = range(begun.first_item, begun.first_item + begun.count, begun.shard_size or 1)
        return tuple(item_place(node, index) for index in indexes)

    def is_sharded(self, node: str) -> bool:
        """Whether the items of a map that is under way, or has failed, are done in shards."""
        return node in self.maps and self.maps[node].begun.shard_size > 0

    def taken_before(self, node: str) -> tuple[str, ...]:
        """Everything before a node that the walk did not pass over, in the order in which outputs are merged."""
        ancestors = self.plan.ancestors(node)
        if not self.plan.selective:
            return ancestors
        left_out = (Phase.PASSED_OVER, Phase.CUT_OFF)
        return tuple(other for other in ancestors if self.nodes[other].phase not in left_out)

    def act_behind_gates(self, at: Step) -> None:
        """Notes that a node has begun: of approvals that it is behind, where it has an effect, something has come of it."""
        for gate in self.plan.gates_before_effect.get(at.node, ()):
            self.nodes[gate].acted_by |= {Step(at.node, at.visit)}

    def only_asked(self, at: Step) -> None:
        """Notes that all that a node has done so far in a visit was to ask people: nothing has come of that."""
        for gate in self.plan.gates_before_effect.get(at.node, ()):
            self.nodes[gate].acted_by -= {Step(at.node, at.visit)}

    def last_decision(self, node: str) -> approval_facts_pb2.Decision | None:
        """The last decision that a node knows of: of a node before it, or of the failure that the walk went back for."""
        decided = [other for other in self.taken_before(node) if self.nodes[other].decision is not None]
        back = self.nodes[node].went_back
        again = [other for other in decided if back is not None and other in back.region]
        if again or back is None or back.decision is None:
            return self.nodes[(again or decided)[-1]].decision if decided else None
        return back.decision

    def awaited_children(self) -> list[Instance]:
        """Attempts that started a child run whose end nothing follows from yet, in plan order; also after the end."""
        waiting = (place for place in self.active if self.nodes[place].phase is Phase.WAITING)
        started = {place for place in waiting if starts_a_run(self.spec(place))}
        places = (place for node in self.plan.nodes for place in (node, *self.items(node)))
        return [self.instance(place) for place in places if place in started] if started else []

    def jumps_over(self, node: str) -> bool:
        """Whether the walk is going back over a node."""
        return self.jump is not None and node in self.jump.region

    def untaken(self) -> list[tuple[int, Fact]]:
        """Facts that the holder has yet to take up, in order; of signals those that a wait is there for."""
        if not self.facts:
            return []
        return [(sequence, fact) for sequence, fact in self.facts.items() if not fact.void and self.is_wanted(fact)]

    def is_wanted(self, fact: Fact) -> bool:
        """Whether a fact is not taken up, and, for a signal, whether a wait for it is open."""
        if fact.taken or not fact.recorded.HasField("signal"):
            return not fact.taken
        return self.waiting_for(fact.recorded.signal.name) is not None

    def waiting_for(self, signal: str) -> Instance | None:
        """The attempt that takes the next signal of a name: of those that wait for it, the first that began to."""
        for where, wait in self.waits.items():
            if not wait.fact_sequence and wait.opened.signal.name == signal:
                return where
        return None
