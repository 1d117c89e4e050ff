"""Folding what happens at nodes into a walk: beginnings, ends, doubts, choices, failures that are taken, what follows."""

from collections.abc import Callable
from typing import Final

from perdure.runlog.effects import GUARDED
from perdure.runlog.inbox import Doubt
from perdure.runlog.instances import Instance, Step, instance, place_of, step_at
from perdure.runlog.node_walk import Asked, NodeWalk, Phase
from perdure.runlog.shards import take_over
from perdure.runlog.walk import OpenMap, Walk
from perdure.runlog.ways import Way, missed, way
from perdure.v1 import instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent


def lose_work(walk: Walk, event: RunEvent, sequence: int) -> None:
    """What was under way has no holder any more: it is in doubt, or begins again. In an order that is the same anywhere."""
    for place in sorted(walk.active, key=walk.instance):
        state = walk.nodes[place]
        if state.phase is Phase.STARTED:
            _lose(walk, place, state, sequence)


def _lose(walk: Walk, place: str, state: NodeWalk, sequence: int) -> None:
    state.only_asks = False
    if walk.spec(place).effect in GUARDED:
        state.phase = Phase.IN_DOUBT
        walk.doubts[walk.instance(place)] = Doubt(instances_pb2.FAILURE_CAUSE_EXECUTOR_LOST, "", sequence)
    else:
        state.phase = Phase.LOST


def _node_started(walk: Walk, event: RunEvent, sequence: int) -> None:
    started = event.node_started
    where = started.instance
    step, attempt = where.path[-1], where.attempt
    place, visit = place_of(step) if step.item else step.node, step.visit
    state = walk.nodes[place]
    if state.visit != visit:
        state.answers, state.only_asks = (), True
    state.asked = None
    state.phase, state.visit, state.attempt, state.redo = Phase.STARTED, visit, attempt, started.redo
    state.since = sequence
    walk.frontier.discard(place)
    walk.active.add(place)
    walk.act_behind_gates(Step(step.node, visit))
    if started.resolution_sequence:
        walk.doubts.pop(Instance((*walk.prefix, step_at(place, visit)), attempt - 1), None)
    if walk.waits:
        walk.waits.pop(Instance((*walk.prefix, step_at(place, visit)), attempt - 1), None)  # the back-off before it
    if walk.pending:
        walk.pending.pop(instance(started.instance), None)  # what a lost execution of it had produced


def _node_settled(walk: Walk, event: RunEvent, sequence: int) -> None:
    settled = event.node_settled
    step = settled.instance.path[-1]
    place = place_of(step) if step.item else step.node
    state = walk.nodes[place]
    state.since = sequence
    output = b""
    if walk.pending or walk.doubts or walk.waits or walk.units:
        where = instance(settled.instance)
        output = walk.pending.pop(where, b"")
        walk.doubts.pop(where, None)
        walk.waits.pop(where, None)
        units = walk.units.pop(where, None)
        if units and settled.outcome == instances_pb2.OUTCOME_ASKED:
            walk.units[Instance(where.path, where.attempt + 1)] = units  # the next attempt goes on after them
        if settled.child.run_id:
            _end_of_child(state, settled, output)
    if settled.outcome != instances_pb2.OUTCOME_ASKED:
        _not_only_asked(state, settled)
    match settled.outcome:
        case instances_pb2.OUTCOME_SUCCEEDED if step.item:
            state.phase, state.output, state.failures = Phase.SUCCEEDED, output, 0
            walk.active.discard(place)
        case instances_pb2.OUTCOME_SUCCEEDED:
            if walk.maps:
                close_map(walk, place)
            _succeed(walk, place, state, output)
        case instances_pb2.OUTCOME_FAILED:
            if walk.maps:
                _put_items_down(walk, place)
            _fail(walk, place, state, settled)
        case instances_pb2.OUTCOME_JUMPED_OVER:
            state.phase = Phase.NOT_REACHED
            walk.active.discard(place)
        case instances_pb2.OUTCOME_ASKED:
            state.phase, state.asked = Phase.ASKING, Asked(settled.question, output)
            if state.only_asks and not step.item:
                walk.only_asked(Step(step.node, step.visit))
        case _:
            state.phase = Phase.AGAIN


def _not_only_asked(state: NodeWalk, settled: node_events_pb2.NodeSettled) -> None:
    state.only_asks = False
    if settled.outcome == instances_pb2.OUTCOME_SUCCEEDED:
        state.answers = ()  # nobody asks for them any more


def _end_of_child(state: NodeWalk, settled: node_events_pb2.NodeSettled, output: bytes) -> None:
    """What the next attempt goes on with: the redo, and what a shard has done."""
    state.redo = settled.child.redo or state.redo
    state.failed_items = settled.child.failed_items
    if settled.outcome == instances_pb2.OUTCOME_FAILED and settled.instance.path[-1].item:
        state.output = output


def close_map(walk: Walk, node: str) -> None:
    """Forgets the items of a map that nothing follows from any more; does nothing for any other node."""
    for place in walk.items(node):
        walk.active.discard(place)
        del walk.nodes[place]
    walk.maps.pop(node, None)


def _put_items_down(walk: Walk, node: str) -> None:
    """Nothing follows at the items of a map that has failed, until somebody lets it go on."""
    for place in walk.items(node):
        walk.active.discard(place)
        walk.waits.pop(walk.instance(place), None)


def _map_begun(walk: Walk, event: RunEvent, sequence: int) -> None:
    begun = event.map_begun
    where = instance(begun.instance)
    node, visit = where.node, where.visit
    if not walk.plan.nodes[node].HasField("map"):
        raise ValueError(f"{node} is no map")
    state = walk.nodes[node]
    state.phase, state.visit, state.attempt, state.since = Phase.MAPPING, visit, where.attempt, sequence
    walk.frontier.discard(node)
    walk.active.add(node)
    known = walk.maps.get(node)
    if known is None:
        walk.maps[node] = OpenMap(begun, walk.pending.pop(where, b""))
        walk.nodes |= {place: NodeWalk(visit=visit) for place in walk.items(node)}
        take_over(walk, begun, node)
        return
    if (begun.count, begun.items_digest) != (known.begun.count, known.begun.items_digest):
        raise ValueError(f"{where} is over another list than the attempt before it")
    known.begun = begun
    for place in walk.items(node):
        item = walk.nodes[place]
        if item.phase is not Phase.SUCCEEDED:
            item.failures, item.cause, item.message = 0, instances_pb2.FAILURE_CAUSE_UNSPECIFIED, ""


def _map_items(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.pending[instance(event.map_items.instance)] = event.map_items.json


def _succeed(walk: Walk, node: str, state: NodeWalk, output: bytes) -> None:
    if walk.plan.selective:
        _succeed_where_steps_are_chosen(walk, node, state, output)
        return
    state.phase, state.output, state.failures, state.extra_attempts = Phase.SUCCEEDED, output, 0, 0
    walk.active.discard(node)
    for after in walk.plan.successors[node]:
        if all(walk.nodes[before].phase is Phase.SUCCEEDED for before in walk.plan.predecessors[after]):
            walk.frontier.add(after)


def _succeed_where_steps_are_chosen(walk: Walk, node: str, state: NodeWalk, output: bytes) -> None:
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
        before = walk.plan.predecessors[after]
        ways = [way(walk, other, after) for other in before]
        if Way.UNDECIDED in ways:
            continue
        if Way.CUT_OFF in ways:
            state.phase = Phase.CUT_OFF
            cut = (
                missed(walk, other, after) for other, found in zip(before, ways, strict=True) if found is Way.CUT_OFF
            )
            state.instead = frozenset().union(*cut)
            due.extend(walk.plan.successors[after])
        elif Way.TAKEN in ways:
            walk.frontier.add(after)
        else:
            state.phase = Phase.PASSED_OVER
            due.extend(walk.plan.successors[after])


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


def _failure_taken(walk: Walk, event: RunEvent, sequence: int) -> None:
    taken = event.failure_taken
    node = taken.instance.path[-1].node
    state = walk.nodes[node]
    state.excused = True
    close_map(walk, node)
    if not taken.target:
        handlers = walk.plan.message.error_handlers
        if not 0 < taken.handler <= len(handlers):
            raise ValueError("a failure is taken by a handler that the plan does not have")
        _succeed(walk, node, state, handlers[taken.handler - 1].output)
        return
    state.phase, state.chosen, state.instead = Phase.TAKEN, taken.target, frozenset((taken.target,))
    state.failures = state.extra_attempts = 0
    walk.active.discard(node)
    _go_on_from(walk, node)


def _fail(walk: Walk, node: str, state: NodeWalk, settled: node_events_pb2.NodeSettled) -> None:
    state.phase, state.failures = Phase.FAILED, state.failures + 1
    state.cause, state.message = settled.cause, settled.message
    state.retry_delay = settled.retry_delay.ToMicroseconds() / 1e6


def _node_in_doubt(walk: Walk, event: RunEvent, sequence: int) -> None:
    where = instance(event.node_in_doubt.instance)
    walk.nodes[where.place].phase = Phase.IN_DOUBT
    walk.doubts[where] = Doubt(event.node_in_doubt.cause, event.node_in_doubt.message)


def _output(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.pending[instance(event.node_output.instance)] = event.node_output.json


def _unit(walk: Walk, event: RunEvent, sequence: int) -> None:
    content = event.unit_content
    walk.units.setdefault(instance(content.instance), {})[content.unit] = content.json


NODE_STEPS: Final[dict[str, Callable[[Walk, RunEvent, int], None]]] = {
    "lease_revoked": lose_work,
    "lease_returned": lose_work,
    "node_started": _node_started,
    "node_output": _output,
    "map_items": _map_items,
    "map_begun": _map_begun,
    "node_settled": _node_settled,
    "node_in_doubt": _node_in_doubt,
    "unit_content": _unit,
    "choice_made": _choice_made,
    "failure_taken": _failure_taken,
}
