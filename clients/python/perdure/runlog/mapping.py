"""Maps: one node for every item of a list, some of them at once, and what follows when all of them are over.

An item is a place of the walk beside the plan's nodes, named `node[index]`. It holds one of the map's places from its first
attempt until it has succeeded, or failed for good.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Final

from perdure.runlog.backoffs import after_backoff
from perdure.runlog.consequences import overdue
from perdure.runlog.failures import is_tried_again
from perdure.runlog.intents import Record, Start
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.node_walk import Phase
from perdure.runlog.questions import after_question
from perdure.runlog.shards import at_once, tolerated
from perdure.runlog.starting import begin, begin_again
from perdure.runlog.walk import Walk
from perdure.v1 import fact_events_pb2, instances_pb2, node_events_pb2
from perdure.v1.run_events_pb2 import RunEvent

_BETWEEN: Final = (Phase.LOST, Phase.AGAIN, Phase.ASKING, Phase.FAILED)
"""Where the next attempt would begin."""


def go_on_with(walk: Walk, node: str) -> list[Start | Record] | Record:
    """What follows at a map: attempts of items to begin, none while it waits, and waits of items that begin; or what a
    fact leads to, or its end."""
    if walk.nodes[node].phase is Phase.AGAIN:
        return begin_again(walk, node)
    failed = failed_items(walk, node)
    sharded = walk.is_sharded(node)
    failing = _fails(walk, node, failed)
    due: list[Start | Record] = []
    under_way = 0
    for place in walk.items(node):
        if place not in walk.active or place in failed:
            continue
        if failing and not sharded and _waits(walk, place):
            return _closed(walk, place)
        if failing and _is_at_rest(walk, place):
            continue  # nothing is begun for a map that fails anyway
        under_way += 1
        match _follows(walk, place):
            case Record() as record if walk.nodes[place].phase not in (Phase.ASKING, Phase.FAILED):
                return record
            case Record() | Start() as follows:
                due.append(follows)  # a wait that begins keeps nothing else from beginning
    if not failing:
        due += _next(walk, node, under_way)
    return due if due or under_way else Record(_end(walk, node, failed, failing=failing))


def _follows(walk: Walk, place: str) -> Start | Record | None:
    """What follows at an item under way."""
    state = walk.nodes[place]
    match state.phase:
        case Phase.LOST:
            return begin(walk, place, state.visit, state.attempt, state.redo)
        case Phase.AGAIN:
            return begin(walk, place, state.visit, state.attempt + 1, state.redo)
        case Phase.ASKING:
            return after_question(walk, place)
        case Phase.FAILED:
            retry = begin(walk, place, state.visit, state.attempt + 1, state.redo, state.retry_delay)
            return after_backoff(walk, place, retry)
        case _:
            match overdue(walk, place):
                case Start() as redo:
                    return redo
                case settlement:
                    return Record(settlement) if settlement else None


def jumped_over(walk: Walk, node: str) -> Record:
    """The end of a map that the walk goes back over, once none of its items is under way."""
    settled = _settled(walk, node, instances_pb2.OUTCOME_JUMPED_OVER)
    settled.node_settled.cause = instances_pb2.FAILURE_CAUSE_STOPPED
    return Record((settled,))


def failed_items(walk: Walk, node: str) -> list[str]:
    """The items of a map under way that have failed for good, in their order."""
    failed = (place for place in walk.items(node) if walk.nodes[place].phase is Phase.FAILED and place in walk.active)
    return [
        place
        for place in failed
        if not is_tried_again(walk.spec(place), walk.nodes[place].cause, walk.nodes[place].failures, extra_attempts=0)
    ]


def _next(walk: Walk, node: str, under_way: int) -> Iterator[Start]:
    free = at_once(walk, node) - under_way
    for place in walk.items(node):
        if free <= 0:
            return
        state = walk.nodes[place]
        if place not in walk.active and state.phase is not Phase.SUCCEEDED:
            free -= 1
            yield begin(walk, place, state.visit, state.attempt + 1, state.redo)


def _waits(walk: Walk, place: str) -> bool:
    """Whether an item waits for something that has not come."""
    wait = walk.waits.get(walk.instance(place))
    return wait is not None and not wait.fact_sequence


def _is_at_rest(walk: Walk, place: str) -> bool:
    """Whether nothing of an item runs, and nothing that has come for it is left to be said."""
    phase = walk.nodes[place].phase
    return phase in _BETWEEN or (phase is Phase.WAITING and walk.instance(place) not in walk.waits)


def _closed(walk: Walk, place: str) -> Record:
    where, cause = walk.instance(place).message(), instances_pb2.FAILURE_CAUSE_STOPPED
    return Record((RunEvent(wait_closed=fact_events_pb2.WaitClosed(instance=where, cause=cause)),))


def _fails(walk: Walk, node: str, failed: list[str]) -> bool:
    limit = tolerated(walk, node)
    if walk.is_sharded(node):
        return bool(failed)  # it has come to the bound, with those before it, or something else has ended it
    return limit is not None and len(failed) > limit


def _end(walk: Walk, node: str, failed: list[str], *, failing: bool) -> tuple[RunEvent, ...]:
    if failing:
        settled = _settled(walk, node, instances_pb2.OUTCOME_FAILED)
        settled.node_settled.cause = instances_pb2.FAILURE_CAUSE_ITEM_FAILED
        settled.node_settled.message = _told(walk, node, failed)
        return (settled,)
    output = _results(walk, node, failed)
    settled = _settled(walk, node, instances_pb2.OUTCOME_SUCCEEDED)
    settled.node_settled.output_digest = hashlib.sha256(output).digest()
    produced = node_events_pb2.NodeOutput(instance=settled.node_settled.instance, json=output)
    return RunEvent(node_output=produced), settled


def _told(walk: Walk, node: str, failed: list[str]) -> str:
    state = walk.nodes[failed[0]]
    if walk.is_sharded(node):
        return state.message or f"its shard {walk.instance(failed[0])} has ended: {_cause(state.cause)}"
    said = f"{walk.instance(failed[0])} failed: {_cause(state.cause)}{': ' if state.message else ''}{state.message}"
    told = said if len(failed) == 1 else f"{len(failed)} items failed; {said}"
    return told.encode()[:1024].decode(errors="ignore")


def _results(walk: Walk, node: str, failed: list[str]) -> bytes:
    """JSON of what a map leaves. The items' outputs stand in it as they were stored."""
    if walk.is_sharded(node):
        return _together([json.loads(walk.nodes[place].output or b"{}") for place in walk.items(node)])
    first = walk.maps[node].begun.first_item
    outputs = (b"null" if place in failed else walk.nodes[place].output or b"{}" for place in walk.items(node))
    errors = [_error(walk, index, place) for index, place in enumerate(walk.items(node), first) if place in failed]
    return b'{"results":[' + b",".join(outputs) + b'],"errors":[' + b",".join(map(json_bytes, errors)) + b"]}"


def _together(shards: list[JsonObject]) -> bytes:
    """JSON of what shards have left, as if it had been left at once."""
    results = [result for shard in shards for result in shard.get("results", ())]
    errors = [error for shard in shards for error in shard.get("errors", ())]
    return (
        b'{"results":['
        + b",".join(map(json_bytes, results))
        + b'],"errors":['
        + b",".join(map(json_bytes, errors))
        + b"]}"
    )


def _error(walk: Walk, index: int, place: str) -> JsonObject:
    return {"index": index, "cause": _cause(walk.nodes[place].cause), "message": walk.nodes[place].message}


def _cause(cause: instances_pb2.FailureCause.ValueType) -> str:
    return instances_pb2.FailureCause.Name(cause).removeprefix("FAILURE_CAUSE_")


def _settled(walk: Walk, node: str, outcome: instances_pb2.Outcome.ValueType) -> RunEvent:
    where, effect = walk.instance(node).message(), walk.plan.nodes[node].effect
    return RunEvent(node_settled=node_events_pb2.NodeSettled(instance=where, effect=effect, outcome=outcome))
