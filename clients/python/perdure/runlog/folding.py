"""Folding a run's log into the state of its walk.

State = (walk in order, inbox as a set): facts only ever add to the inbox, and nothing they bring takes effect before
the holder takes them up, so how they interleave with the walk cannot matter. Like a head, a walk changes in place.
"""

from collections.abc import Callable
from typing import Final

from perdure.runlog.folding_inbox import INBOX_STEPS, await_child
from perdure.runlog.folding_nodes import NODE_STEPS, close_map, lose_work
from perdure.runlog.head import Stop
from perdure.runlog.instances import Step, instance
from perdure.runlog.node_walk import Phase, WentBack
from perdure.runlog.states import FINAL, run_state
from perdure.runlog.walk import Walk
from perdure.v1 import run_events_pb2
from perdure.v1.run_events_pb2 import RunEvent


def fold_event(walk: Walk, event: RunEvent, sequence: int) -> None:
    """Folds the next event. `sequence` may be 0 for events of the holder's own that are not stored yet."""
    kind = event.WhichOneof("kind")
    step = _STEPS.get(kind) if kind else None
    if step is not None:
        step(walk, event, sequence)


def _created(walk: Walk, event: RunEvent, sequence: int) -> None:
    lineage = event.run_created.lineage
    walk.lineage_id = lineage.lineage_id
    walk.prefix = tuple(Step(step.node, step.visit, step.item) for step in lineage.prefix)
    walk.prefix_redos = tuple(lineage.prefix_redos)
    if event.run_created.HasField("part"):
        _begin_part(walk, event.run_created.part)


def _begin_part(walk: Walk, part: run_events_pb2.RunPart) -> None:
    """The walk goes on with the attempt that the part is to do, and has nothing before it."""
    where = instance(part.instance)
    state = walk.nodes[where.node]  # a shard is done by the map itself
    state.phase, state.visit, state.attempt, state.redo = Phase.AGAIN, where.visit, where.attempt - 1, part.redo
    walk.part = part
    walk.frontier.clear()
    walk.active.add(where.node)


def _input(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.input, walk.content = event.run_input.json, event.run_input.content


def _ended(walk: Walk, event: RunEvent, sequence: int) -> None:
    walk.ended, walk.stop, walk.jump = event.run_ended, None, None
    lose_work(walk, event, sequence)
    walk.waits.clear()
    outlives = facts_that_outlive(event.run_ended)
    for fact in walk.facts.values():
        fact.void = fact.void or (not fact.taken and fact.recorded.WhichOneof("fact") not in outlives)


def facts_that_outlive(end: run_events_pb2.RunEnded) -> frozenset[str]:
    """Kinds of facts that are not void after a run's end where nothing has followed from them yet.

    A resolution says what happened to an effect, whatever becomes of the run; a signal is kept for as long as the run may
    go on.
    """
    return _OUTLIVE_ALL if run_state(end.state) in FINAL else _OUTLIVE


def _continued(walk: Walk, event: RunEvent, sequence: int) -> None:
    continued = event.run_continued
    walk.ended, walk.seen = None, sequence
    for child in continued.children:
        await_child(walk, instance(child.instance), child.run_id)
    for place in walk.active:
        state = walk.nodes[place]
        state.retry_delay = 0.0  # whoever lets it go on does not want a back-off
        waited = state.phase in (Phase.WAITING, Phase.ASKING) and walk.instance(place) not in walk.waits
        if state.phase is Phase.LOST or waited:
            state.phase = Phase.AGAIN
    if continued.HasField("reopened"):
        state = walk.nodes[instance(continued.reopened).place]
        state.phase, state.extra_attempts = Phase.AGAIN, state.extra_attempts + continued.extra_attempts
        state.answers = tuple(answer for answer in state.answers if answer.says)  # the rest is asked again


def _stop_requested(walk: Walk, event: RunEvent, sequence: int) -> None:
    name = run_events_pb2.StopKind.Name(event.stop_requested.kind)
    walk.stop, walk.seen = Stop(name.removeprefix("STOP_KIND_")), sequence


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
    for where in [where for where in walk.units if where.node in region]:
        del walk.units[where]  # of an agent that has asked, and does not go on there
    for node in region:
        close_map(walk, node)
        state = walk.nodes[node]
        state.phase, state.went_back = Phase.NOT_REACHED, why
        state.excused, state.instead = False, frozenset()
    walk.frontier -= region
    walk.active -= region
    walk.frontier.add(event.jumped.target)


def _void(walk: Walk, sequence: int) -> None:
    if sequence and not walk.facts[sequence].taken:
        walk.facts[sequence].void = True


_OUTLIVE: Final = frozenset({"resolution", "signal"})
_OUTLIVE_ALL: Final = frozenset({"resolution"})

_STEPS: Final[dict[str, Callable[[Walk, RunEvent, int], None]]] = {
    "run_created": _created,
    "run_input": _input,
    "run_ended": _ended,
    "run_continued": _continued,
    "stop_requested": _stop_requested,
    "jump_begun": _jump_begun,
    "jumped": _jumped,
    **NODE_STEPS,
    **INBOX_STEPS,
}
