"""What comes next in a run: from the state of its walk to intents.

Pure, so that executors, the checker and tests come to the same answer. Every prefix of a holder's events is a state from
which `decide` derives the rest.
"""

import hashlib

from perdure.runlog.backoffs import after_backoff, backs_off
from perdure.runlog.bindings import run_output
from perdure.runlog.consequences import overdue, take_up
from perdure.runlog.effects import GUARDED
from perdure.runlog.failures import Follows, after_failure
from perdure.runlog.head import STOP_ENDS
from perdure.runlog.instances import Instance
from perdure.runlog.intents import Choose, Intent, Record, Start, StopWork
from perdure.runlog.mapping import go_on_with, jumped_over
from perdure.runlog.node_walk import Phase
from perdure.runlog.parts import is_guarded_part
from perdure.runlog.questions import after_question, waits_for_answer
from perdure.runlog.shards import left_over
from perdure.runlog.starting import begin
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2, run_events_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RunEvent


def decide(walk: Walk) -> list[Intent]:
    """What the holder does next. Empty: wait for work under way to end, or, after the run's end, nothing."""
    if walk.ended is not None:
        return []
    if walk.stop is not None:
        return _stop(walk)
    if walk.jump is not None:
        return _finish_jump(walk, walk.jump)
    if walk.held:
        return [] if _working(walk) else [_pause(ready=_has_work(walk))]
    untaken = take_up(walk) if walk.facts else None
    return untaken or _go_on(walk)


def decide_unaware(walk: Walk) -> list[Intent]:
    """What a holder decides that knows of no stop, of no hold, and of no fact it has not taken up."""
    if walk.ended is not None:
        return []
    return _finish_jump(walk, walk.jump) if walk.jump is not None else _go_on(walk)


def _stop(walk: Walk) -> list[Intent]:
    working = _working(walk)
    if working:
        return [StopWork(working)]
    natural = _natural_end(walk)
    if natural is not None:
        natural.stop_too_late = True
        return [_end(walk, natural)]
    assert walk.stop is not None
    cause = instances_pb2.FAILURE_CAUSE_STOPPED
    if STOP_ENDS[walk.stop].message() == run_states_pb2.RUN_STATE_TIMED_OUT:
        cause = instances_pb2.FAILURE_CAUSE_DEADLINE
    return [_end(walk, run_events_pb2.RunEnded(state=STOP_ENDS[walk.stop].message(), cause=cause))]


def _finish_jump(walk: Walk, jump: run_events_pb2.JumpBegun) -> list[Intent]:
    intents: list[Intent] = []
    working = [where for where in _working(walk) if where.node in jump.region]
    repeatable = tuple(where for where in working if walk.spec(where.place).effect not in GUARDED)
    if repeatable:
        intents.append(StopWork(repeatable))
    waiting = [where for where, wait in walk.waits.items() if where.node in jump.region and not wait.fact_sequence]
    for where in waiting:
        if not is_guarded_part(walk, where):
            closed = fact_events_pb2.WaitClosed(instance=where.message(), cause=instances_pb2.FAILURE_CAUSE_JUMPED_OVER)
            return [*intents, Record((RunEvent(wait_closed=closed),))]
    if working:
        return intents
    if waiting:
        # As guarded work that runs here: it comes to its end, and nothing follows from that.
        untaken = [] if walk.held else take_up(walk)
        return untaken or ([] if _working(walk) else [_pause(ready=bool(walk.untaken()))])
    doubted = [where.place for where in walk.doubts if where.node in jump.region]
    if doubted:
        return _clear_doubts(walk, doubted)
    mapped = [node for node in walk.maps if node in jump.region and walk.nodes[node].phase is Phase.MAPPING]
    if mapped:
        return [jumped_over(walk, mapped[0])]
    return [Record((RunEvent(jumped=run_events_pb2.Jumped(target=jump.target)),))]


def _clear_doubts(walk: Walk, doubted: list[str]) -> list[Intent]:
    """The walk does not go back over an effect before somebody has said what became of it."""
    if walk.held:
        return [] if _working(walk) else [_pause(ready=True)]
    untaken = take_up(walk)
    if untaken:
        return untaken
    settlement = overdue(walk, doubted[0])
    assert isinstance(settlement, tuple)
    return [Record(settlement)]


def _go_on(walk: Walk) -> list[Intent]:
    starts: list[Intent] = []
    waits: list[Intent] = []
    failures: list[Follows] = []
    for node in _in_order(walk, walk.active):
        state = walk.nodes[node]
        match state.phase:
            case Phase.WAITING | Phase.IN_DOUBT:
                match overdue(walk, node):
                    case Start() as redo:
                        starts.append(redo)
                    case settlement if settlement:
                        return [Record(settlement)]
            case Phase.CHOOSING:
                starts.append(Choose(walk.instance(node)))
            case Phase.LOST:
                starts.append(begin(walk, node, state.visit, state.attempt, state.redo))
            case Phase.MAPPING | Phase.AGAIN if node in walk.maps:
                if isinstance(of_items := go_on_with(walk, node), Record):
                    return [of_items]
                for due in of_items:
                    _sort(due, starts, waits)
            case Phase.AGAIN:
                starts.append(begin(walk, node, state.visit, state.attempt + 1, state.redo))
            case Phase.ASKING:
                _sort(after_question(walk, node), starts, waits)
            case Phase.FAILED:
                match after_failure(walk, node, state):
                    case Start() as retry:
                        _sort(after_backoff(walk, node, retry), starts, waits)
                    case other:
                        failures.append(other)
    if failures:
        return _after_failures(walk, failures)
    starts.extend(begin(walk, node, walk.nodes[node].visit + 1, 1, 0) for node in _in_order(walk, walk.frontier))
    if starts or waits:
        return [*waits, *starts]
    if _working(walk):
        return []
    return [_pause(ready=False)] if walk.waits else [_end(walk, _completed())]


def _sort(due: Start | Record | None, starts: list[Intent], waits: list[Intent]) -> None:
    """Puts an attempt to those that begin, and the beginning of a wait to those that go before them."""
    if due is not None:
        (waits if isinstance(due, Record) else starts).append(due)


def _after_failures(walk: Walk, failures: list[Follows]) -> list[Intent]:
    """The end of the run goes before a jump back, and that before what the plan has for a failure."""
    ends = [end for end in failures if isinstance(end, run_events_pb2.RunEnded)]
    if ends:
        if _working(walk):
            return []
        awaited = any(not wait.fact_sequence and is_guarded_part(walk, where) for where, wait in walk.waits.items())
        return [_pause(ready=False) if awaited else _end(walk, ends[0])]
    jumps = [jump for jump in failures if isinstance(jump, run_events_pb2.JumpBegun)]
    if jumps:
        return [Record((RunEvent(jump_begun=jumps[0]),))]
    taken = [taken for taken in failures if isinstance(taken, node_events_pb2.FailureTaken)]
    return [Record((RunEvent(failure_taken=taken[0]),))]


def _completed() -> run_events_pb2.RunEnded:
    return run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_COMPLETED)


def _end(walk: Walk, ended: run_events_pb2.RunEnded) -> Record:
    """The end of a run, as its holder tells it; of a child that has completed, or a shard, with what it leaves."""
    output = b""
    if walk.prefix or walk.part is not None:
        completed = ended.state == run_states_pb2.RUN_STATE_COMPLETED
        interrupted = ended.state == run_states_pb2.RUN_STATE_INTERRUPTED
        output = run_output(walk) if completed else b"" if interrupted else left_over(walk)
    if not output:
        return Record((RunEvent(run_ended=ended),))
    ended.output_digest = hashlib.sha256(output).digest()
    return Record((RunEvent(run_output=run_events_pb2.RunOutput(json=output)), RunEvent(run_ended=ended)))


def _natural_end(walk: Walk) -> run_events_pb2.RunEnded | None:
    """The end the walk has come to by itself, or None where it would go on."""
    for node in _in_order(walk, walk.active):
        if walk.nodes[node].phase is Phase.FAILED:
            end = after_failure(walk, node, walk.nodes[node])
            if isinstance(end, run_events_pb2.RunEnded):
                return end
    return _completed() if walk.complete else None


def _pause(*, ready: bool) -> Record:
    return Record((RunEvent(run_paused=run_events_pb2.RunPaused(ready=ready)),))


def _working(walk: Walk) -> tuple[Instance, ...]:
    return tuple([walk.instance(place) for place in walk.active if walk.nodes[place].phase is Phase.STARTED])


def _has_work(walk: Walk) -> bool:
    if not walk.waits:
        return True  # at the least, to end
    ready = (node for node in _in_order(walk, walk.active) if _is_ready(walk, node))
    return bool(walk.frontier or walk.untaken()) or next(ready, None) is not None


def _is_ready(walk: Walk, node: str) -> bool:
    match walk.nodes[node].phase:
        case Phase.WAITING | Phase.STARTED:
            return False
        case Phase.MAPPING:
            return bool(go_on_with(walk, node))
        case Phase.ASKING:
            return not waits_for_answer(walk, node)
        case _:
            return not backs_off(walk, node)


def _in_order(walk: Walk, nodes: set[str]) -> list[str]:
    return list(nodes) if len(nodes) < 2 else [node for node in walk.plan.nodes if node in nodes]
