"""What follows from the facts of a run's inbox, once its holder takes them up."""

import json

from perdure.runlog.decisions import output_of
from perdure.runlog.inbox import Fact, OpenWait
from perdure.runlog.instances import Instance, node_of, step_at
from perdure.runlog.intents import Intent, Record, Start
from perdure.runlog.json_objects import json_bytes
from perdure.runlog.states import run_state
from perdure.runlog.takers import Cause
from perdure.runlog.walk import Walk
from perdure.v1 import decisions_pb2, fact_events_pb2, instances_pb2, node_events_pb2, plans_pb2, run_states_pb2
from perdure.v1.run_events_pb2 import RunEvent


def take_up(walk: Walk) -> list[Intent]:
    """Takes up the oldest fact that is not, with what follows from it. Empty where there is none."""
    for sequence, fact in walk.untaken():
        where, taken = _addressee(walk, sequence, fact), fact_events_pb2.FactTakenUp(sequence=sequence)
        if fact.recorded.HasField("signal"):
            taken.instance.CopyFrom(where.message())
        return [Record((RunEvent(fact_taken_up=taken), *_consequences(walk, where, sequence, fact)))]
    return []


def overdue(walk: Walk, place: str) -> Start | tuple[RunEvent, ...]:
    """What follows at a place from a fact that is taken up and whose consequences are not recorded."""
    where, state = walk.instance(place), walk.nodes[place]
    wait, doubt = walk.waits.get(where), walk.doubts.get(where)
    sequence = wait.fact_sequence if wait else doubt.resolution_sequence if doubt else 0
    if not sequence or not walk.facts[sequence].taken:
        return ()
    again = walk.facts[sequence].recorded.resolution.kind == fact_events_pb2.RESOLUTION_KIND_RETRY
    if again and not walk.jumps_over(node_of(place)):
        next_attempt = Instance((*walk.prefix, step_at(place, state.visit)), state.attempt + 1)
        return Start(walk.spec(place), next_attempt, state.redo + 1, 0.0, sequence)
    return _consequences(walk, where, sequence, walk.facts[sequence])


def _consequences(walk: Walk, where: Instance, sequence: int, fact: Fact) -> tuple[RunEvent, ...]:
    if where in walk.waits and walk.waits[where].opened.approval.question:
        return ()  # the next attempt itself follows, whatever the answer
    match fact.recorded.WhichOneof("fact"):
        case "decision":
            return _decided(walk, where, walk.waits[where], fact)
        case "wait_expired":
            return (_expired(walk, where, walk.waits[where]),)
        case "approval_withdrawn":
            cause, reason = instances_pb2.FAILURE_CAUSE_APPROVAL_WITHDRAWN, fact.recorded.approval_withdrawn.reason
            return (_settled(walk, where, failed=cause, message=reason),)
        case "timer_fired" if walk.waits[where].opened.HasField("backoff"):
            return ()  # the next attempt itself follows
        case "timer_fired":
            return (_settled(walk, where),)
        case "signal":
            return (_output(where, fact.content or b"{}"), _settled(walk, where))
        case "child_ended":
            return _child_ended(walk, where, fact)
        case _:
            return _resolved(walk, where, sequence, fact)


def _addressee(walk: Walk, sequence: int, fact: Fact) -> Instance:
    if fact.recorded.HasField("signal"):
        waiting = walk.waiting_for(fact.recorded.signal.name)
        assert waiting is not None, "nobody waits for a signal that is taken up"
        return waiting
    for where, wait in walk.waits.items():
        if wait.fact_sequence == sequence:
            return where
    return next(where for where, doubt in walk.doubts.items() if doubt.resolution_sequence == sequence)


def _expired(walk: Walk, where: Instance, wait: OpenWait) -> RunEvent:
    if wait.opened.HasField("signal"):
        message = f"no signal {wait.opened.signal.name} came in time"
        return _settled(walk, where, failed=instances_pb2.FAILURE_CAUSE_WAIT_TIMED_OUT, message=message)
    return _settled(walk, where, failed=instances_pb2.FAILURE_CAUSE_APPROVAL_EXPIRED, message="nobody decided in time")


def _decided(walk: Walk, where: Instance, wait: OpenWait, fact: Fact) -> tuple[RunEvent, ...]:
    decision = fact.recorded.decision
    if decision.kind == decisions_pb2.DECISION_KIND_REJECTED:
        cause = instances_pb2.FAILURE_CAUSE_APPROVAL_REJECTED
        return (_settled(walk, where, failed=cause, message=decision.reason or f"rejected by {decision.decider}"),)
    output = output_of(decision, wait.subject, fact.content, walk.spec(where.place).approval.content_key)
    return (_output(where, json_bytes(output)), _settled(walk, where))


def _child_ended(walk: Walk, where: Instance, fact: Fact) -> tuple[RunEvent, ...]:
    ended = fact.recorded.child_ended
    if ended.state == run_states_pb2.RUN_STATE_COMPLETED:
        settled = _settled(walk, where)
    elif ended.state == run_states_pb2.RUN_STATE_FAILED and walk.spec(where.place).HasField("part"):
        settled = _settled(walk, where, failed=ended.cause, message=ended.message)  # as if it had been done here
    else:
        cause = _cause_of_end(walk.spec(where.place), ended)
        word = run_state(ended.state).value.lower().replace("_", " ")
        told = f"runs/{ended.run_id} {word}{': ' if ended.message else ''}{ended.message}"
        settled = _settled(walk, where, failed=cause, message=told.encode()[:1024].decode(errors="ignore"))
    result = settled.node_settled.child
    result.run_id, result.cause, result.redo = ended.run_id, ended.cause, ended.redo
    if where.path[-1].item and walk.is_sharded(where.node) and not settled.node_settled.cause:
        result.failed_items = len(json.loads(fact.content)["errors"])
    return (_output(where, fact.content), settled) if fact.content else (settled,)


def _cause_of_end(spec: plans_pb2.PlanNode, ended: fact_events_pb2.ChildEnded) -> Cause:
    if ended.state == run_states_pb2.RUN_STATE_CANCELLED:
        return instances_pb2.FAILURE_CAUSE_CHILD_CANCELLED
    if ended.in_doubt:
        return instances_pb2.FAILURE_CAUSE_CHILD_IN_DOUBT
    if ended.state == run_states_pb2.RUN_STATE_TIMED_OUT and spec.HasField("timeout"):
        # Where a node has a limit, it is shorter than its child's own.
        return instances_pb2.FAILURE_CAUSE_NODE_TIMED_OUT
    return instances_pb2.FAILURE_CAUSE_CHILD_FAILED


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
            effect=walk.spec(where.place).effect,
            outcome=unfit if failed else instances_pb2.OUTCOME_SUCCEEDED,
            cause=failed,
            message=message,
            resolution_sequence=resolution,
        )
    )


def _output(where: Instance, output: bytes) -> RunEvent:
    return RunEvent(node_output=node_events_pb2.NodeOutput(instance=where.message(), json=output))
