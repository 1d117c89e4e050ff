"""What a person is shown at a hold point: the question, its subject, and what must not be repeated behind it."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from perdure.runlog.instances import Instance
from perdure.runlog.plans import WalkPlan
from perdure.runlog.walk import Walk
from perdure.v1 import instances_pb2, plans_pb2
from perdure_executor.calls import Calls
from perdure_executor.node_context import Ask, Equipment, NodeContext
from perdure_executor.nodes import prepare

EFFECTS = {
    "look": instances_pb2.EFFECT_NONE,
    "store": instances_pb2.EFFECT_IDEMPOTENT,
    "pay": instances_pb2.EFFECT_AT_MOST_ONCE,
    "book": instances_pb2.EFFECT_COMPENSABLE,
    "send": instances_pb2.EFFECT_AT_MOST_ONCE,
}

Asking = Callable[..., Ask]


@pytest.fixture
def asking(plans: Any, at: Any) -> Asking:
    """Asks what the node `gate` asks, of a plan with these steps. Nodes whose names begin with `gate` are hold points."""

    def ask(*steps: tuple[str, str]) -> Ask:
        names = dict.fromkeys(name for step in steps for name in step)
        plan = plans.graph([_node(plans, name) for name in names], steps)
        prepared = prepare(_context(plan, at("gate")))
        assert isinstance(prepared, Ask), prepared
        return prepared

    return ask


def _node(plans: Any, name: str) -> plans_pb2.PlanNode:
    if not name.startswith("gate"):
        node: plans_pb2.PlanNode = plans.node(name, effect=EFFECTS[name])
        return node
    gate: plans_pb2.PlanNode = plans.node(name, approval=plans_pb2.ApprovalNode(prompt="Go on?"))
    return gate


def _context(plan: WalkPlan, where: Instance) -> NodeContext:
    equipment = Equipment(
        supervisor=None,  # type: ignore[arg-type]  # nothing here is a command
        functions={},
        calls=Calls(1),
        workspace="",
        environment={},
        max_payload_bytes=1 << 20,
        max_task_output_bytes=1 << 20,
        kill_grace=0.0,
        providers={},
    )
    return NodeContext(
        node=plan.nodes["gate"],
        instance=where,
        run_id="run",
        lease_id="lease",
        key=lambda: "key",
        see=dict,
        equipment=equipment,
        walk=Walk(plan),
    )


def _effects(asked: Ask) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(asked.subject)["effects"]
    return found


def test_what_must_not_be_repeated_behind_the_gate_is_shown_in_the_order_of_the_plan(asking: Asking) -> None:
    asked = asking(("send", "gate"), ("gate", "look"), ("look", "pay"), ("pay", "store"), ("store", "book"))

    assert _effects(asked) == [{"effect": "at_most_once", "node": "pay"}, {"effect": "compensable", "node": "book"}]


def test_what_another_gate_keeps_is_shown_at_that_one_unless_a_path_leads_around_it(asking: Asking) -> None:
    behind = asking(("gate", "pay"), ("pay", "gate2"), ("gate2", "send"))
    around = asking(("gate", "gate2"), ("gate2", "send"), ("gate", "book"), ("book", "send"))

    assert [effect["node"] for effect in _effects(behind)] == ["pay"]
    assert [effect["node"] for effect in _effects(around)] == ["send", "book"]


def test_a_decision_binds_to_what_follows_too(asking: Asking) -> None:
    nothing, something = asking(("gate", "look")), asking(("gate", "pay"))

    assert _effects(nothing) == []
    assert something.wait.approval.subject_digest == hashlib.sha256(something.subject).digest()
    assert something.wait.approval.subject_digest != nothing.wait.approval.subject_digest
