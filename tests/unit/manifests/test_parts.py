"""Nodes with a queue or labels of their own: which may have them, and what becomes of them in a plan."""

import hashlib
import json
from typing import Any

import pytest

from perdure.runlog.parts import part_plans
from perdure.v1 import instances_pb2, plans_pb2
from perdure_control_plane.manifests.review import Review, review

HEAD = {"playbook_id": "p", "version": "1", "title": "t", "objective": "o", "inputs": {}}
GPU = {"queue": "gpu", "labels": ["large", "eu", "large"]}
COMMAND = {"id": "a", "type": "deterministic", "command": "echo", "effect": "idempotent"}
GATE = {"type": "approval", "prompt": "go on?"}


def reviewed(*nodes: dict[str, Any]) -> Review:
    return review(json.dumps({**HEAD, "nodes": nodes}).encode())


def planned(*nodes: dict[str, Any]) -> plans_pb2.Plan:
    plan = reviewed(*nodes).plan
    assert plan is not None, reviewed(*nodes).errors
    return plan


REFUSED = {
    "an approval": ({"id": "a", **GATE, "queue": "gpu"}, "nodes[0].queue"),
    "a wait": ({"id": "a", "type": "wait", "signal": "s", "labels": ["gpu"]}, "nodes[0].labels"),
    "a map of approvals": ({"id": "a", "type": "map", "items": "[1]", "node": GATE, "queue": "gpu"}, "nodes[0].queue"),
    "a node inside a map": (
        {"id": "a", "type": "map", "items": "[1]", "node": {"type": "function", "function": "f", "queue": "gpu"}},
        "nodes[0].node.queue",
    ),
}


@pytest.mark.parametrize(("node", "path"), REFUSED.values(), ids=list(REFUSED))
def test_a_queue_or_a_label_is_refused_of(node: dict[str, Any], path: str) -> None:
    assert [(fault.path, fault.code) for fault in reviewed(node).errors] == [(path, "PART_FIELD")]


def test_a_node_keeps_its_place_and_its_attempts_and_the_part_has_everything_else() -> None:
    node = {
        **COMMAND, **GPU, "timeout_seconds": 5, "on_failure": {"max_iterations": 4}, "retry": {"initial_seconds": 9},
        "requires": {"fields": ["x"]}, "ensures": {"exit_code": 0},
    }  # fmt: skip
    here, alone = planned(node), planned({**node, "queue": None, "labels": []})
    plan = planned(node).nodes[0]
    (of_part,) = (plans_pb2.Plan.FromString(stored) for stored in part_plans(here))

    assert (plan.effect, plan.queue, list(plan.labels)) == (instances_pb2.EFFECT_NONE, "gpu", ["eu", "large"])
    assert [field.name for field, _ in plan.ListFields()] == [
        "id", "effect", "iteration_cap", "backoff", "requires", "part", "queue", "labels"
    ]  # fmt: skip
    assert plan.part.plan_digest == hashlib.sha256(part_plans(here)[0]).digest()
    assert (of_part.playbook_digest, list(of_part.nodes)) == (here.playbook_digest, [plan.part.node])
    merged = plans_pb2.PlanNode()
    merged.CopyFrom(plan)
    for field in ("part", "queue", "labels", "effect"):
        merged.ClearField(field)
    merged.MergeFrom(plan.part.node)
    assert merged == alone.nodes[0]


def test_a_model_provider_is_needed_where_its_agent_works() -> None:
    agent = {"type": "agentic", "agent": "x", "prompt": "p"}
    plan = planned({"id": "a", **agent, "provider": "near"}, {"id": "b", **agent, "provider": "far", "labels": ["gpu"]})

    assert list(plan.providers) == ["near"]
    assert [list(plans_pb2.Plan.FromString(stored).providers) for stored in part_plans(plan)] == [["far"]]


def test_a_child_goes_to_another_queue_by_itself() -> None:
    faults = reviewed({"id": "a", "type": "playbook", "playbook_id": "c", "version": "1", **GPU}).errors

    assert [fault.code for fault in faults] == ["PLAYBOOK_UNKNOWN"]


READS = {
    "{{ inputs.word }}": [("inputs", "word")],
    "{{ nodes.b.stdout.size() + n }}": [("n",), ("nodes", "b", "stdout")],
    "{{ nodes['b'] }} {{ nodes.b.stdout }}": [("nodes", "b")],
    "{{ has(nodes.b) && 'c' in nodes }}": [("nodes",)],
    "{{ nodes[inputs.which].x }}": [("inputs", "which"), ("nodes",)],
    "{{ list.map(x, x + more.of[0]) }}": [("list",), ("more", "of")],
    "{{ list.map(x, x.map(y, y + z.of)).filter(y, y.x) + x }}": [("list",), ("x",), ("z", "of")],
    "nothing": [],
}


@pytest.mark.parametrize(("text", "expected"), READS.items(), ids=list(READS))
def test_a_part_is_given_what_its_expressions_read(text: str, expected: list[tuple[str, ...]]) -> None:
    before = [{"id": name, "type": "function", "function": "f"} for name in "bc"]
    plan = planned(*before, {**COMMAND, **GPU, "args": [text], "depends": ["b", "c"]})

    assert [tuple(reading.keys) for reading in plan.nodes[2].part.reads] == expected


def test_a_shard_reads_what_its_items_do_and_what_they_require_and_not_the_list() -> None:
    work = {
        "type": "function",
        "function": "f",
        "inputs": {"n": "{{ item + more }}"},
        "requires": {"fields": ["token"]},
    }
    node = {"id": "a", "type": "map", "items": "inputs.list", "node": work}
    here, elsewhere = planned(node).nodes[0], planned({**node, **GPU}).nodes[0].part

    assert [tuple(reading.keys) for reading in here.map.shard.reads] == [("more",), ("token",)]
    assert [tuple(reading.keys) for reading in elsewhere.reads] == [("inputs", "list"), ("more",), ("token",)]
    assert elsewhere.node.map.shard.node == here.map.shard.node
    assert here.map.shard.node.map.items == ""


def test_every_part_and_shard_of_a_plan_has_a_plan_of_its_own_that_is_stored() -> None:
    work = {"type": "function", "function": "f"}
    plan = planned(COMMAND | GPU, {"id": "b", "type": "map", "items": "[1]", "node": work, **GPU})

    stored = {hashlib.sha256(one).digest() for one in part_plans(plan)}
    inside = plan.nodes[1].part

    assert stored == {plan.nodes[0].part.plan_digest, inside.plan_digest, inside.node.map.shard.plan_digest}


def test_items_that_wait_have_no_shards() -> None:
    assert not planned({"id": "a", "type": "map", "items": "[1]", "node": GATE}).nodes[0].map.HasField("shard")
