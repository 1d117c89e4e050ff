"""What a node sees: the run's input, the outputs of what came before it, and why it is asked again."""

import json

from perdure.runlog.instances import Instance
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2


def bindings(walk: Walk, where: Instance) -> JsonObject:
    """The names an expression of this node may use.

    The input's keys and the outputs' keys of the node's ancestors, later ones winning; `inputs`, the input alone;
    `request.content`; `nodes.<id>`, each ancestor's own output; `last_error` with `node`, `cause` and `message` where the
    walk retries or jumped back; `last_approval` with `decision`, `decider` and `reason` after a hold point.
    """
    inputs: JsonObject = json.loads(walk.input)
    merged, nodes = dict(inputs), {}
    for node in walk.plan.ancestors(where.node):
        output = walk.nodes[node].output
        nodes[node] = json.loads(output) if output else {}
        merged.update(nodes[node])
    merged.update(inputs=inputs, request={"content": walk.content}, nodes=nodes)
    merged.update(last_error=_last_error(walk), last_approval=_last_approval(walk))
    return merged


def _last_error(walk: Walk) -> JsonObject | None:
    if walk.last_error is None:
        return None
    node, cause, message = walk.last_error
    name = instances_pb2.FailureCause.Name(cause).removeprefix("FAILURE_CAUSE_")
    return {"node": node, "cause": name, "message": message}


def _last_approval(walk: Walk) -> JsonObject | None:
    if walk.last_approval is None:
        return None
    decision = walk.last_approval.recorded.decision
    kind = fact_events_pb2.DecisionKind.Name(decision.kind).removeprefix("DECISION_KIND_").lower()
    return {"decision": kind, "decider": decision.decider, "reason": decision.reason}
