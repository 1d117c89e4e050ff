"""Which of the guarded steps from a node is taken."""

from perdure.encryption.codec import Codec
from perdure.runlog.instances import Instance
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2
from perdure.v1.node_events_pb2 import ChoiceMade
from perdure_executor.expressions import holds
from perdure_executor.node_context import line
from perdure_executor.results import CannotPrepare
from perdure_executor.sealing import sealed_failure, seen


def choice(walk: Walk, where: Instance, codec: Codec) -> ChoiceMade:
    """Evaluates every guard. Exactly one must hold, or none where a step is there for that case."""
    steps = walk.plan.choices[where.node]
    try:
        found = seen(walk, where, codec, behind=True)
        held = [step for step in steps if step.when and holds(step.when, found)]
    except CannotPrepare as unfit:
        failed = sealed_failure(unfit.failure, codec)
        return _unclear(where, failed.cause, failed.message)
    taken = held or [step for step in steps if step.otherwise]
    if len(taken) == 1:
        return ChoiceMade(instance=where.message(), target=taken[0].target)
    cause = instances_pb2.FAILURE_CAUSE_CHOICE_UNCLEAR
    if not taken:
        return _unclear(where, cause, "no guard holds, and no step is there for that case")
    return _unclear(where, cause, f"the guards of {' and '.join(step.target for step in taken)} hold; one must")


def _unclear(where: Instance, cause: instances_pb2.FailureCause.ValueType, message: str) -> ChoiceMade:
    return ChoiceMade(instance=where.message(), cause=cause, message=line(message))
