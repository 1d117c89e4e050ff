"""Graphs drawn at random, and executors, people and accidents that walk them in any order."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st

from perdure.runlog.instances import Instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.states import RunState
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2, plans_pb2

OK = (instances_pb2.OUTCOME_SUCCEEDED, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, b"")
FAILED = (instances_pb2.OUTCOME_FAILED, instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED, b"")
REPEATABLE = instances_pb2.EFFECT_NONE
GUARDED = instances_pb2.EFFECT_AT_MOST_ONCE
MOST_STEPS = 300
ANSWERS = (
    fact_events_pb2.RESOLUTION_KIND_DONE,
    fact_events_pb2.RESOLUTION_KIND_RETRY,
    fact_events_pb2.RESOLUTION_KIND_FAILED,
)
Move = Callable[[], object]
OPERATOR = fact_events_pb2.HOLD_CAUSE_OPERATOR


@st.composite
def graphs(
    draw: st.DrawFn, *, gates: bool = True, guards: bool = False, takers: bool = False, maps: bool = False
) -> WalkPlan:
    """Any graph of up to eight nodes, as validation lets it pass: connected, and jumps go back to what all ways share."""
    count = draw(st.integers(2, 8))
    before = {0: set[int]()}
    for node in range(1, count):
        before[node] = set(draw(st.lists(st.integers(0, node - 1), min_size=1, max_size=3)))
    through: dict[int, set[int]] = {}
    for node in range(count):
        shared = [through[other] for other in before[node]]
        through[node] = {node} | (set.intersection(*shared) if shared else set())
    nodes = [_node(draw, node, sorted(through[node] - {node}), gates=gates) for node in range(count)]
    for node in nodes if maps else ():
        _map(draw, node)
    edges = [
        plans_pb2.PlanEdge(source=f"n{other}", target=f"n{node}") for node in range(count) for other in before[node]
    ]
    if guards:
        _guard(draw, edges)
    handlers = _take(draw, edges, count) if takers else []
    order = draw(st.permutations(range(count)))
    plan = plans_pb2.Plan(nodes=[nodes[node] for node in order], edges=draw(st.permutations(edges)), jump_limit=3)
    plan.error_handlers.extend(handlers)
    return WalkPlan(plan)


def _take(draw: st.DrawFn, edges: list[plans_pb2.PlanEdge], count: int) -> list[plans_pb2.ErrorHandler]:
    """Has failures taken: by some of the edges, which no success takes then, by a later node, or by a default."""
    for edge in edges:
        if not edge.when and not edge.otherwise and draw(st.integers(0, 3)) == 0:
            edge.on.any = True
            edge.on.causes.append(instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED)
    handlers = []
    for node in range(1, count - 1):
        handler = plans_pb2.ErrorHandler(on=plans_pb2.Failures(any=True), nodes=[f"n{node}"])
        if draw(st.booleans()):
            handler.go_to = f"n{draw(st.integers(node + 1, count - 1))}"
        else:
            handler.output = b"{}"
        handlers += [handler] if draw(st.booleans()) else []
    return handlers


def _guard(draw: st.DrawFn, edges: list[plans_pb2.PlanEdge]) -> None:
    """Guards the steps from some nodes; one of them may be for the case that no guard holds."""
    for source in dict.fromkeys(edge.source for edge in edges):
        steps = [edge for edge in edges if edge.source == source]
        if draw(st.booleans()):
            for edge in steps:
                edge.when = "true"
            if len(steps) > 1 and draw(st.booleans()):
                steps[-1].when, steps[-1].otherwise = "", True


def _node(draw: st.DrawFn, node: int, shared: list[int], *, gates: bool) -> plans_pb2.PlanNode:
    made = plans_pb2.PlanNode(id=f"n{node}", effect=draw(st.sampled_from([REPEATABLE, REPEATABLE, GUARDED])))
    if made.effect == REPEATABLE:
        made.iteration_cap = draw(st.sampled_from([1, 3]))
    if shared and draw(st.booleans()):
        made.inject_into, made.iteration_cap = f"n{draw(st.sampled_from(shared))}", 3
    if gates and draw(st.integers(0, 4)) == 0:
        made.effect = REPEATABLE
        made.approval.SetInParent()
    else:
        made.function.function = "noop"
    return made


def _map(draw: st.DrawFn, node: plans_pb2.PlanNode) -> None:
    """Has a node done for items, now and then."""
    if draw(st.integers(0, 2)):
        return
    made = plans_pb2.MapNode(max_parallel=draw(st.integers(1, 3)))
    made.node.CopyFrom(node)
    made.node.inject_into = ""
    if draw(st.booleans()):
        made.tolerated_failures = draw(st.integers(0, 2))
    node.map.CopyFrom(made)  # what it did itself is set no more
    node.effect = REPEATABLE
    if not node.inject_into:
        node.ClearField("iteration_cap")


@dataclass
class Disorder:
    """Plays one run: whatever may happen next happens in an order that is drawn."""

    run: Any
    draw: Any

    def play(self, *, trouble: bool) -> None:
        """Walks to an end, or until a person alone can help. Without `trouble` all work and every decision is good."""
        self.run.chooses = partial(self._choose, trouble=trouble)
        for _ in range(MOST_STEPS):
            self.run.go(hold_work=True)
            if self.run.walk.ended is not None:
                return
            moves = self._moves(trouble=trouble)
            if not moves:
                return
            moves[self.draw(st.sampled_from(list(moves)))]()

    def _choose(self, where: Instance, *, trouble: bool) -> str | None:
        targets = [step.target for step in self.run.plan.choices[where.node]]
        chosen: str | None = self.draw(st.sampled_from([*targets, None] if trouble else targets))
        return chosen

    def _moves(self, *, trouble: bool) -> dict[str, Move]:
        run, moves = self.run, dict[str, Move]()
        for index, start in enumerate(run.running):
            moves[f"{start.instance} succeeds"] = partial(run.finish, OK, index)
            if trouble:
                moves[f"{start.instance} fails"] = partial(run.finish, FAILED, index)
                moves[f"{start.instance} fails, and is repeated later"] = partial(
                    run.finish, FAILED, index, backoff=60.0
                )
        for where, wait in run.walk.waits.items():
            if not wait.fact_sequence and wait.opened.HasField("backoff"):
                moves[f"the back-off after {where} is over"] = partial(run.pass_backoff, where)
            elif not wait.fact_sequence:
                moves[f"{where} is approved"] = partial(self._decide, where, decisions_pb2.DECISION_KIND_APPROVED)
                if trouble:
                    moves[f"{where} is rejected"] = partial(self._decide, where, decisions_pb2.DECISION_KIND_REJECTED)
        if run.head.lease_id is None:
            return moves | self._moves_without_a_holder()
        if trouble:
            moves["the executor is lost"] = run.lose
            if OPERATOR not in run.walk.holds:
                held = fact_events_pb2.HoldPlaced(cause=OPERATOR)
                moves["somebody holds the run"] = partial(run.fact, hold_placed=held)
        return moves

    def _moves_without_a_holder(self) -> dict[str, Move]:
        run, moves = self.run, dict[str, Move]()
        for where, doubt in run.walk.doubts.items():
            for kind in () if doubt.resolution_sequence else ANSWERS:
                answer = fact_events_pb2.EffectResolution(kind=kind, report_sequence=doubt.report_sequence)
                moves[f"{where} is resolved as {kind}"] = partial(run.fact, where, resolution=answer)
        if run.state is RunState.QUEUED:
            moves["an executor takes the run"] = run.lease
        if OPERATOR in run.walk.holds:
            released = fact_events_pb2.HoldReleased(cause=OPERATOR)
            moves["somebody lets the run go on"] = partial(run.fact, hold_released=released)
        return moves

    def _decide(self, where: Instance, kind: Any) -> None:
        self.run.fact(
            where, decision=approval_facts_pb2.Decision(approval_id=str(where), kind=kind, decider="somebody")
        )
