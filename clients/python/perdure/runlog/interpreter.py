"""What comes next in a run: from the state of its walk to intents, and from results to the events that record them.

Pure, so that executors, the checker and tests come to the same answer. Every prefix of a holder's events is a state from
which `decide` derives the rest.
"""

import json
from typing import Final

from perdure.runlog.effects import GUARDED
from perdure.runlog.head import STOP_ENDS
from perdure.runlog.inbox import Fact, OpenWait
from perdure.runlog.instances import Instance, Step
from perdure.runlog.intents import Choose, Intent, Record, Start, StopWork
from perdure.runlog.node_walk import NodeWalk, Phase
from perdure.runlog.walk import Walk
from perdure.v1 import (
    fact_events_pb2,
    instances_pb2,
    node_events_pb2,
    plans_pb2,
    run_events_pb2,
    run_states_pb2,
)
from perdure.v1.run_events_pb2 import RunEvent

MENDED_BEFORE: Final = frozenset({
    instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED,
    instances_pb2.FAILURE_CAUSE_NOT_STARTED,
    instances_pb2.FAILURE_CAUSE_EXPRESSION,
    instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR,
})  # fmt: skip
"""Causes that an earlier node may mend when it is done again, and another attempt would only meet again."""

UNDECIDED: Final = frozenset({
    instances_pb2.FAILURE_CAUSE_EXPRESSION,
    instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR,
})  # fmt: skip
"""Causes for which a node that has done its work cannot say what follows."""

NEVER_RETRIED: Final = MENDED_BEFORE | {
    instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED,
    instances_pb2.FAILURE_CAUSE_FUNCTION_UNKNOWN,
    instances_pb2.FAILURE_CAUSE_PROVIDER_NOT_CONFIGURED,
}
"""Causes that another attempt would only meet again."""


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
    untaken = _take_up(walk) if walk.facts else None
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
        return [Record((RunEvent(run_ended=natural),))]
    assert walk.stop is not None
    cause = instances_pb2.FAILURE_CAUSE_STOPPED
    if STOP_ENDS[walk.stop].message() == run_states_pb2.RUN_STATE_TIMED_OUT:
        cause = instances_pb2.FAILURE_CAUSE_DEADLINE
    ended = run_events_pb2.RunEnded(state=STOP_ENDS[walk.stop].message(), cause=cause)
    return [Record((RunEvent(run_ended=ended),))]


def _take_up(walk: Walk) -> list[Intent]:
    for sequence, fact in walk.untaken():
        taken = RunEvent(fact_taken_up=fact_events_pb2.FactTakenUp(sequence=sequence))
        return [Record((taken, *_consequences(walk, sequence, fact)))]
    return []


def _finish_jump(walk: Walk, jump: run_events_pb2.JumpBegun) -> list[Intent]:
    intents: list[Intent] = []
    working = [where for where in _working(walk) if where.node in jump.region]
    repeatable = tuple(where for where in working if walk.plan.nodes[where.node].effect not in GUARDED)
    if repeatable:
        intents.append(StopWork(repeatable))
    for where, wait in walk.waits.items():
        if where.node in jump.region and not wait.fact_sequence:
            closed = fact_events_pb2.WaitClosed(instance=where.message(), cause=instances_pb2.FAILURE_CAUSE_STOPPED)
            return [*intents, Record((RunEvent(wait_closed=closed),))]
    if working:
        return intents
    doubted = [where.node for where in walk.doubts if where.node in jump.region]
    if doubted:
        return _clear_doubts(walk, doubted)
    return [Record((RunEvent(jumped=run_events_pb2.Jumped(target=jump.target)),))]


def _clear_doubts(walk: Walk, doubted: list[str]) -> list[Intent]:
    """The walk does not go back over an effect before somebody has said what became of it."""
    if walk.held:
        return [] if _working(walk) else [_pause(ready=True)]
    untaken = _take_up(walk)
    if untaken:
        return untaken
    settlement = overdue(walk, doubted[0])
    assert isinstance(settlement, tuple)
    return [Record(settlement)]


def _go_on(walk: Walk) -> list[Intent]:
    starts: list[Intent] = []
    end: run_events_pb2.RunEnded | None = None
    jump: run_events_pb2.JumpBegun | None = None
    for node in _in_order(walk, walk.active):
        state = walk.nodes[node]
        match state.phase:
            case Phase.STARTED:
                continue
            case Phase.WAITING | Phase.IN_DOUBT:
                match overdue(walk, node):
                    case Start() as redo:
                        starts.append(redo)
                    case settlement if settlement:
                        return [Record(settlement)]
            case Phase.CHOOSING:
                starts.append(Choose(walk.instance(node)))
            case Phase.LOST:
                starts.append(_start(walk, node, state.visit, state.attempt, state.redo))
            case Phase.AGAIN:
                starts.append(_start(walk, node, state.visit, state.attempt + 1, state.redo))
            case Phase.FAILED:
                match _after_failure(walk, node, state):
                    case run_events_pb2.RunEnded() as fatal:
                        end = end or fatal
                    case run_events_pb2.JumpBegun() as back:
                        jump = jump or back
                    case Start() as retry:
                        starts.append(retry)
    if end is not None:
        return [] if _working(walk) else [Record((RunEvent(run_ended=end),))]
    if jump is not None:
        return [Record((RunEvent(jump_begun=jump),))]
    starts.extend(_start(walk, node, walk.nodes[node].visit + 1, 1, 0) for node in _in_order(walk, walk.frontier))
    if starts:
        return starts
    if _working(walk):
        return []
    return [_pause(ready=False)] if walk.waits else [Record((RunEvent(run_ended=_completed()),))]


def is_tried_again(
    spec: plans_pb2.PlanNode, cause: instances_pb2.FailureCause.ValueType, failures: int, extra_attempts: int
) -> bool:
    """Whether a node's next attempt follows by itself after so many failures in a row, the last of this cause."""
    return cause not in NEVER_RETRIED and failures < _limit(spec, extra_attempts)


def _limit(spec: plans_pb2.PlanNode, extra_attempts: int) -> int:
    return max(1, spec.iteration_cap if spec.HasField("iteration_cap") else 1) + extra_attempts


def _after_failure(
    walk: Walk, node: str, state: NodeWalk
) -> Start | run_events_pb2.JumpBegun | run_events_pb2.RunEnded:
    spec = walk.plan.nodes[node]
    capped = spec.HasField("iteration_cap")
    jumps_back = bool(spec.inject_into) and spec.inject_into != node
    if state.cause in NEVER_RETRIED and not (jumps_back and state.cause in MENDED_BEFORE):
        return _failed(walk, node, state.cause)
    if state.failures >= _limit(spec, state.extra_attempts):
        return _failed(walk, node, instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED if capped else state.cause)
    if not jumps_back:
        return _start(walk, node, state.visit, state.attempt + 1, state.redo, state.retry_delay)
    if walk.jumps >= walk.plan.message.jump_limit:
        return _failed(walk, node, instances_pb2.FAILURE_CAUSE_JUMP_LIMIT_EXCEEDED)
    return run_events_pb2.JumpBegun(
        source=walk.instance(node).message(),
        target=spec.inject_into,
        cause=state.cause,
        region=walk.plan.region(spec.inject_into),
    )


def _failed(walk: Walk, node: str, cause: instances_pb2.FailureCause.ValueType) -> run_events_pb2.RunEnded:
    state = walk.nodes[node]
    expired = state.cause == instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED
    return run_events_pb2.RunEnded(
        state=run_states_pb2.RUN_STATE_EXPIRED if expired else run_states_pb2.RUN_STATE_FAILED,
        cause=cause,
        failed=walk.instance(node).message(),
        node_cause=state.cause if cause != state.cause else instances_pb2.FAILURE_CAUSE_UNSPECIFIED,
        message=state.message,
    )


def _completed() -> run_events_pb2.RunEnded:
    return run_events_pb2.RunEnded(state=run_states_pb2.RUN_STATE_COMPLETED)


def _natural_end(walk: Walk) -> run_events_pb2.RunEnded | None:
    """The end the walk has come to by itself, or None where it would go on."""
    for node in _in_order(walk, walk.active):
        if walk.nodes[node].phase is Phase.FAILED:
            end = _after_failure(walk, node, walk.nodes[node])
            if isinstance(end, run_events_pb2.RunEnded):
                return end
    return _completed() if walk.complete else None


def _consequences(walk: Walk, sequence: int, fact: Fact) -> tuple[RunEvent, ...]:
    where = _addressee(walk, sequence)
    match fact.recorded.WhichOneof("fact"):
        case "decision":
            return _decided(walk, where, walk.waits[where], fact.recorded.decision)
        case "wait_expired":
            return (
                _settled(
                    walk, where, failed=instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED, message="nobody decided in time"
                ),
            )
        case _:
            return _resolved(walk, where, sequence, fact)


def overdue(walk: Walk, node: str) -> Start | tuple[RunEvent, ...]:
    """What follows at a node from a fact that is taken up and whose consequences are not recorded."""
    where, state = walk.instance(node), walk.nodes[node]
    wait, doubt = walk.waits.get(where), walk.doubts.get(where)
    sequence = wait.fact_sequence if wait else doubt.resolution_sequence if doubt else 0
    if not sequence or not walk.facts[sequence].taken:
        return ()
    again = walk.facts[sequence].recorded.resolution.kind == fact_events_pb2.RESOLUTION_KIND_RETRY
    if again and not walk.jumps_over(node):
        path = (*walk.prefix, Step(node, state.visit))
        next_attempt = Instance(path, state.attempt + 1)
        return Start(walk.plan.nodes[node], next_attempt, state.redo + 1, 0.0, sequence)
    return _consequences(walk, sequence, walk.facts[sequence])


def _addressee(walk: Walk, sequence: int) -> Instance:
    for where, wait in walk.waits.items():
        if wait.fact_sequence == sequence:
            return where
    return next(where for where, doubt in walk.doubts.items() if doubt.resolution_sequence == sequence)


def _decided(walk: Walk, where: Instance, wait: OpenWait, decision: fact_events_pb2.Decision) -> tuple[RunEvent, ...]:
    if decision.kind == fact_events_pb2.DECISION_KIND_REJECTED:
        cause = instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED
        return (_settled(walk, where, failed=cause, message=decision.reason or f"rejected by {decision.decider}"),)
    shown = json.loads(wait.subject) if wait.subject else {}
    output = {
        "decision": fact_events_pb2.DecisionKind.Name(decision.kind).removeprefix("DECISION_KIND_").lower(),
        "decider": decision.decider,
        "reason": decision.reason,
        "subject": shown.get("subject", {}),
    }
    return (_output(where, json_bytes(output)), _settled(walk, where))


def _resolved(walk: Walk, where: Instance, sequence: int, fact: Fact) -> tuple[RunEvent, ...]:
    resolution = fact.recorded.resolution
    if walk.jumps_over(where.node):
        # Whatever the answer is: the walk comes to the node again, and what it does then has another key.
        cause = instances_pb2.FAILURE_CAUSE_STOPPED
        return (_settled(walk, where, failed=cause, message=resolution.reason, resolution=sequence),)
    match resolution.kind:
        case fact_events_pb2.RESOLUTION_KIND_DONE:
            return (_output(where, fact.content or b"{}"), _settled(walk, where, resolution=sequence))
        case fact_events_pb2.RESOLUTION_KIND_RETRY:
            return ()  # the new attempt itself follows
        case _:
            cause = instances_pb2.FAILURE_CAUSE_RESOLVED_FAILED
            return (_settled(walk, where, failed=cause, message=resolution.reason, resolution=sequence),)


def _settled(
    walk: Walk,
    where: Instance,
    *,
    failed: instances_pb2.FailureCause.ValueType = instances_pb2.FAILURE_CAUSE_UNSPECIFIED,
    message: str = "",
    resolution: int = 0,
) -> RunEvent:
    unfit = instances_pb2.OUTCOME_JUMPED_OVER if walk.jumps_over(where.node) else instances_pb2.OUTCOME_FAILED
    return RunEvent(
        node_settled=node_events_pb2.NodeSettled(
            instance=where.message(),
            effect=walk.plan.nodes[where.node].effect,
            outcome=unfit if failed else instances_pb2.OUTCOME_SUCCEEDED,
            cause=failed,
            message=message,
            resolution_sequence=resolution,
        )
    )


def _output(where: Instance, output: bytes) -> RunEvent:
    return RunEvent(node_output=node_events_pb2.NodeOutput(instance=where.message(), json=output))


def _start(walk: Walk, node: str, visit: int, attempt: int, redo: int, delay: float = 0.0) -> Start:
    path = (*walk.prefix, Step(node, visit))
    return Start(walk.plan.nodes[node], Instance(path, attempt), redo, delay)


def _pause(*, ready: bool) -> Record:
    return Record((RunEvent(run_paused=run_events_pb2.RunPaused(ready=ready)),))


def _working(walk: Walk) -> tuple[Instance, ...]:
    return tuple([walk.instance(node) for node in walk.active if walk.nodes[node].phase is Phase.STARTED])


def _has_work(walk: Walk) -> bool:
    if not walk.waits:
        return True  # at the least, to end
    waiting = (Phase.WAITING, Phase.STARTED)
    return bool(walk.frontier or walk.untaken()) or any(walk.nodes[node].phase not in waiting for node in walk.active)


def _in_order(walk: Walk, nodes: set[str]) -> list[str]:
    return list(nodes) if len(nodes) < 2 else [node for node in walk.plan.nodes if node in nodes]


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8, keys sorted. Raises ValueError for NaN and infinity, TypeError for what is not JSON."""
    return _JSON.encode(value).encode()


_JSON: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
