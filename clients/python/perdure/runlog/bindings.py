"""What a node sees: the run's input, the outputs of what came before it, and why it is asked again."""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from perdure.runlog.decisions import told
from perdure.runlog.instances import Instance
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.node_walk import Phase
from perdure.runlog.shards import ITEMS, LEFT
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2


class Reading(NamedTuple):
    """How JSON of the log is read, for whoever has to open what is encrypted in it."""

    given: Callable[[bytes], Any] = json.loads
    """What the run was given."""
    left: Callable[[bytes], Any] = json.loads
    """What nodes have left, and lists of maps."""


PLAIN: Final = Reading()


def bindings(walk: Walk, where: Instance, *, behind: bool = False, reading: Reading = PLAIN) -> JsonObject:
    """The names an expression of this node may use; with `behind`, a guard of the steps from it, which sees its output.

    The input's keys and the outputs' keys of the node's ancestors, later ones winning, and of branches that meet the one
    whose step to the join is declared later; `inputs`, the input alone; `request.content`; `nodes.<id>`, each ancestor's
    own output; `last_error` with `node`, `cause` and `message` where the node is tried again, the walk jumped back
    over it, or the plan took a failure before it, and `last_failed_node`, the first of these alone; `last_approval` with
    `decision`, `decider`, `decided_at`, `reason` and `selected_option` after a hold point. What happens in another branch
    changes nothing here. The node inside a map sees what the map does, and `item` and `item_index`, from 0. In a part all
    of this is what its parent saw.
    """
    if walk.part is not None:
        return _in_part(walk, where, reading)
    inputs: JsonObject = reading.given(walk.input)
    merged, nodes = dict(inputs), {}
    taken = walk.taken_before(where.node)
    for node in (*taken, where.node) if behind else taken:
        if walk.nodes[node].phase is Phase.TAKEN:
            continue  # what it gave before it failed is no output
        output = walk.nodes[node].output
        nodes[node] = reading.left(output) if output else {}
        merged.update(nodes[node])
    merged.update(inputs=inputs, request={"content": walk.content}, nodes=nodes)
    decision = walk.nodes[where.node].decision if behind else None
    merged["last_error"] = error = _last_error(walk, where, (*taken, where.node) if behind else taken, behind=behind)
    merged["last_failed_node"] = error["node"] if error else None
    decision = decision or walk.last_decision(where.node)
    merged["last_approval"] = told(decision) if decision is not None else None
    _add_item(merged, walk, where, reading)
    return merged


def _in_part(walk: Walk, where: Instance, reading: Reading) -> JsonObject:
    """What the parent saw, of which the part has what its expressions read. What has failed in the part counts, too."""
    seen: JsonObject = reading.left(walk.input)
    seen.pop(ITEMS, None)
    seen.pop(LEFT, None)
    state = walk.nodes[where.place]
    if state.failures:
        seen.update(last_error=_error(where.node, state.cause, state.message), last_failed_node=where.node)
    _add_item(seen, walk, where, reading)
    return seen


def _add_item(seen: JsonObject, walk: Walk, where: Instance, reading: Reading) -> None:
    if item := where.path[-1].item:
        open_map = walk.maps[where.node]
        seen.update(item=_list(open_map.items, reading.left)[item - 1 - open_map.begun.first_item], item_index=item - 1)


@lru_cache(maxsize=16)
def _list(items: bytes, read: Callable[[bytes], Any]) -> list[Any]:
    """A list, parsed once for all of its items; none of them changes it."""
    found: list[Any] = read(items)
    return found


def run_output(walk: Walk) -> bytes:
    """JSON of what a run leaves: the outputs of its last nodes, which the walk went on from nowhere, merged.

    In declaration order; later keys win. Empty where none of them has an output.
    """
    nodes, beyond = walk.nodes, (Phase.PASSED_OVER, Phase.NOT_REACHED)
    succeeded = (node for node in walk.plan.nodes if nodes[node].phase is Phase.SUCCEEDED)
    last = (node for node in succeeded if all(nodes[after].phase in beyond for after in walk.plan.successors[node]))
    outputs = [nodes[node].output for node in last if nodes[node].output]
    if len(outputs) < 2:
        return outputs[0] if outputs else b""
    merged: JsonObject = {}
    for output in outputs:
        merged.update(json.loads(output))
    return json_bytes(merged)


def _last_error(walk: Walk, where: Instance, before: Iterable[str], *, behind: bool) -> JsonObject | None:
    node, state = where.node, walk.nodes[where.place]
    if state.failures and not behind:
        return _error(node, state.cause, state.message)
    back = walk.nodes[node].went_back
    if back is not None and (back.source in walk.plan.ancestors(node) or (behind and back.source == node)):
        back = None  # what failed has succeeded since
    # What was taken in the region of a jump was taken since.
    taken = _last_taken(walk, (other for other in before if back is None or other in back.region))
    if taken is not None or back is None:
        return taken
    return _error(back.source, back.cause, back.message)


def _last_taken(walk: Walk, before: Iterable[str]) -> JsonObject | None:
    if not walk.plan.takers:
        return None
    excused = [other for other in before if walk.nodes[other].excused]
    return _error(excused[-1], walk.nodes[excused[-1]].cause, walk.nodes[excused[-1]].message) if excused else None


def _error(node: str, cause: instances_pb2.FailureCause.ValueType, message: str) -> JsonObject:
    name = instances_pb2.FailureCause.Name(cause).removeprefix("FAILURE_CAUSE_")
    return {"node": node, "cause": name, "message": message}
