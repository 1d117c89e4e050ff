"""What follows from a node's failure: another attempt, a jump back, what the plan has for it, or the run's end."""

from typing import Final

from perdure.runlog.intents import Start
from perdure.runlog.node_walk import NodeWalk
from perdure.runlog.starting import begin
from perdure.runlog.takers import Cause
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, node_events_pb2, plans_pb2, run_events_pb2, run_states_pb2

MENDED_BEFORE: Final = frozenset({
    instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED,
    instances_pb2.FAILURE_CAUSE_NOT_STARTED,
    instances_pb2.FAILURE_CAUSE_EXPRESSION,
    instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR,
    instances_pb2.FAILURE_CAUSE_REQUIRES_NOT_MET,
    instances_pb2.FAILURE_CAUSE_WAIT_TIMED_OUT,
    instances_pb2.FAILURE_CAUSE_INPUT_INVALID,
    instances_pb2.FAILURE_CAUSE_ITEM_FAILED,
    instances_pb2.FAILURE_CAUSE_ITEMS_INVALID,
})  # fmt: skip
"""Causes that an earlier node may mend when it is done again, and another attempt would only meet again."""

UNDECIDED: Final = frozenset({
    instances_pb2.FAILURE_CAUSE_EXPRESSION,
    instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR,
})  # fmt: skip
"""Causes for which a node that has done its work cannot say what follows."""

NEVER_RETRIED: Final = MENDED_BEFORE | {
    instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED,
    instances_pb2.FAILURE_CAUSE_APPROVAL_WITHDRAWN,
    instances_pb2.FAILURE_CAUSE_FUNCTION_UNKNOWN,
    instances_pb2.FAILURE_CAUSE_PROVIDER_NOT_CONFIGURED,
    instances_pb2.FAILURE_CAUSE_CHILD_CANCELLED,
    instances_pb2.FAILURE_CAUSE_CHILD_REFUSED,
    instances_pb2.FAILURE_CAUSE_CHILD_IN_DOUBT,
    instances_pb2.FAILURE_CAUSE_SECRET_UNAVAILABLE,
    instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT,
}
"""Causes that another attempt would only meet again."""


def is_tried_again(spec: plans_pb2.PlanNode, cause: Cause, failures: int, extra_attempts: int) -> bool:
    """Whether a node's next attempt follows by itself after so many failures in a row, the last of this cause."""
    return cause not in NEVER_RETRIED and failures < _limit(spec, extra_attempts)


def _limit(spec: plans_pb2.PlanNode, extra_attempts: int) -> int:
    return max(1, spec.iteration_cap if spec.HasField("iteration_cap") else 1) + extra_attempts


Follows = Start | run_events_pb2.JumpBegun | node_events_pb2.FailureTaken | run_events_pb2.RunEnded


def after_failure(walk: Walk, node: str, state: NodeWalk) -> Follows:
    """What follows from a node's failure: another attempt, a jump back, what its plan has for it, or the end of the run."""
    spec = walk.plan.nodes[node]
    capped = spec.HasField("iteration_cap")
    jumps_back = bool(spec.inject_into) and spec.inject_into != node
    if state.cause == instances_pb2.FAILURE_CAUSE_APPROVAL_VOIDED:
        return _jump(walk, node, node)
    if state.cause in NEVER_RETRIED and not (jumps_back and state.cause in MENDED_BEFORE):
        return _for_good(walk, node, state.cause)
    if state.failures >= _limit(spec, state.extra_attempts):
        cause = instances_pb2.FAILURE_CAUSE_ITERATION_CAP_EXCEEDED if capped else state.cause
        return _for_good(walk, node, cause)
    if not jumps_back:
        return begin(walk, node, state.visit, state.attempt + 1, state.redo, state.retry_delay)
    return _jump(walk, node, spec.inject_into)


def _jump(walk: Walk, node: str, target: str) -> Follows:
    if walk.jumps >= walk.plan.message.jump_limit:
        return _for_good(walk, node, instances_pb2.FAILURE_CAUSE_JUMP_LIMIT_EXCEEDED)
    return run_events_pb2.JumpBegun(
        source=walk.instance(node).message(),
        target=target,
        cause=walk.nodes[node].cause,
        region=walk.plan.region(target),
    )


def _for_good(walk: Walk, node: str, cause: Cause) -> node_events_pb2.FailureTaken | run_events_pb2.RunEnded:
    state = walk.nodes[node]
    for taker in walk.plan.takers.get(node, ()):
        if not taker.takes(cause, state.cause) or (taker.excuses and node in walk.plan.choices and cause in UNDECIDED):
            continue  # a choice that could not be made is not made by going on
        if taker.action is not None and taker.action.HasField("fail"):
            return _failed(walk, node, taker.action.fail or cause, taker.action.message)
        return node_events_pb2.FailureTaken(
            instance=walk.instance(node).message(), cause=cause, target=taker.target, handler=taker.handler
        )
    return _failed(walk, node, cause)


def _failed(walk: Walk, node: str, cause: Cause, message: str = "") -> run_events_pb2.RunEnded:
    state = walk.nodes[node]
    expired = state.cause == cause == instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED
    return run_events_pb2.RunEnded(
        state=run_states_pb2.RUN_STATE_EXPIRED if expired else run_states_pb2.RUN_STATE_FAILED,
        cause=cause,
        failed=walk.instance(node).message(),
        node_cause=state.cause if cause != state.cause else instances_pb2.FAILURE_CAUSE_UNSPECIFIED,
        message=message or state.message,
    )
