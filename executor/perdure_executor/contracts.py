"""What a node needs to begin, and whether it is there. What is said names fields, and never what they hold."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from perdure.runlog.json_objects import JsonObject
from perdure.v1 import instances_pb2, plans_pb2
from perdure_executor.results import CannotPrepare
from perdure_executor.untrusted_schema import UntrustedSchema


def check_needs(node: plans_pb2.PlanNode, steps: Sequence[plans_pb2.PlanEdge], seen: JsonObject) -> None:
    """Checks what a node requires, and the contracts of the steps that lead to it, against what it sees.

    Raises CannotPrepare for the first thing that is not there.
    """
    for fault in (*_of_steps(steps, seen), *(_of_node(node.requires, seen) if node.HasField("requires") else ())):
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_REQUIRES_NOT_MET, fault)


def missing(fields: Iterable[str], values: JsonObject, name: str) -> Iterator[str]:
    """Of each field that must be there and not null, and is not, what is wrong."""
    for field in fields:
        if values.get(field) is None:
            yield f"{name}{field} is {'null' if field in values else 'not there'}"


def unfit(schema: bytes, values: JsonObject, name: str) -> Iterator[str]:
    """What of an object is not as its schema says; nothing where there is no schema."""
    fault = _check(schema).fault(values) if schema else ""
    if fault:
        yield f"{name} is not as its schema says: {fault}"


def _of_steps(steps: Sequence[plans_pb2.PlanEdge], seen: JsonObject) -> Iterator[str]:
    for step in steps:
        contract, output = step.contract, seen["nodes"].get(step.source, {})
        said = (
            *missing(contract.ensures, output, f"nodes.{step.source}."),
            *unfit(contract.schema, output, f"nodes.{step.source}"),
            *missing(contract.requires, seen, ""),
        )
        yield from (f"the edge from {step.source} has a contract, and {fault}" for fault in said)


def _of_node(needs: plans_pb2.Needs, seen: JsonObject) -> Iterator[str]:
    values, name = seen, ""
    if needs.source:
        values, name = seen["nodes"].get(needs.source), f"nodes.{needs.source}"
        if values is None:
            yield f"it requires {name}, which is not there"
            return
    faults = (
        *missing(needs.fields, values, f"{name}." if name else ""),
        *unfit(needs.schema, values, name or "what it sees"),
    )
    yield from (f"it requires what is not there: {fault}" for fault in faults)


@lru_cache(maxsize=1024)
def _check(schema: bytes) -> UntrustedSchema:
    return UntrustedSchema(json.loads(schema))
