"""Playbooks that start others: what is refused of a reference, and what a plan has of the version that is named."""

import inspect
import json
import re
from typing import Any

import pytest

from perdure.runlog.plans import MAX_DEPTH
from perdure.v1 import instances_pb2, plans_pb2
from perdure_control_plane.manifests import children
from perdure_control_plane.manifests.children import ChildPlaybook
from perdure_control_plane.manifests.review import Review, review

SCHEMA = {"type": "object", "required": ["word"]}


def child(**fields: Any) -> ChildPlaybook:
    """A stored version that needs an input, and has an effect that is not repeated."""
    nodes = [plans_pb2.PlanNode(id="say", effect=instances_pb2.EFFECT_AT_MOST_ONCE), *fields.pop("nodes", ())]
    concurrency = plans_pb2.PlanConcurrency(key="k", limit=1) if fields.pop("keyed", False) else None
    plan = plans_pb2.Plan(nodes=nodes, input_schema=json.dumps(SCHEMA).encode(), concurrency=concurrency)
    known = {"digest": "d" * 64, "plan_digest": b"p" * 32, "plan": plan, "input_schema": SCHEMA, "revoked": False}
    return ChildPlaybook(**{**known, **fields})


def reviewed(known: ChildPlaybook, **fields: Any) -> Review:
    node = {"id": "a", "type": "playbook", "playbook_id": "other", "version": "1", "inputs": {"word": "{{ w }}"}}
    head = {"playbook_id": "p", "version": "1", "title": "t", "objective": "o", "inputs": [{"name": "w"}]}
    return review(json.dumps({**head, "nodes": [{**node, **fields}]}).encode(), {("other", "1"): known})


DEEP = plans_pb2.PlanNode(id="deep", playbook=plans_pb2.PlaybookNode(depth=MAX_DEPTH))

REFUSED = {
    "it names itself": (child(), {"playbook_id": "p"}, "playbook_id", "PLAYBOOK_RECURSIVE"),
    "there is no such version": (child(), {"version": "2"}, "playbook_id", "PLAYBOOK_UNKNOWN"),
    "the version is revoked": (child(revoked=True), {}, "version", "PLAYBOOK_REVOKED"),
    "another digest was reviewed": (child(), {"digest": "e" * 64}, "digest", "DIGEST_MISMATCH"),
    "it needs an input that is not given": (child(), {"inputs": {}}, "inputs", "INPUT_MISSING"),
    "it has a concurrency key": (child(keyed=True), {}, "playbook_id", "CHILD_CONCURRENCY"),
    "it starts others too deep": (child(nodes=[DEEP]), {}, "playbook_id", "PLAYBOOK_TOO_DEEP"),
}


@pytest.mark.parametrize(("known", "fields", "field", "code"), REFUSED.values(), ids=list(REFUSED))
def test_a_reference_is_refused_where(known: ChildPlaybook, fields: dict[str, Any], field: str, code: str) -> None:
    result = reviewed(known, **fields)

    assert [(fault.path, fault.code) for fault in result.errors] == [(f"nodes[0].{field}", code)]


def test_every_code_is_tested() -> None:
    source = inspect.getsource(children)

    assert {code for *_, code in REFUSED.values()} == set(re.findall(r'"((?:[A-Z]+_)+[A-Z]+)"', source))


def test_a_plan_has_the_digests_the_schema_and_the_worst_effect_of_what_it_starts() -> None:
    plan = reviewed(child()).plan

    assert plan is not None
    assert plan.nodes[0].playbook == plans_pb2.PlaybookNode(
        playbook_id="other",
        version="1",
        digest="d" * 64,
        plan_digest=b"p" * 32,
        input_schema=json.dumps(SCHEMA).encode(),
        effect=instances_pb2.EFFECT_AT_MOST_ONCE,
        depth=1,
    )
    assert not plan.nodes[0].HasField("iteration_cap")


@pytest.mark.parametrize(
    ("own", "limit", "planned"), [(0, 9.5, 9.5), (10, 9.5, 9.5), (10, 10, 0), (9, 9.5, 0), (9, None, 0)]
)
def test_a_time_limit_is_in_the_plan_where_it_is_shorter_than_the_childs_own(
    own: int, limit: float | None, planned: float
) -> None:
    known = child()
    if own:
        known.plan.timeout.FromSeconds(own)

    plan = reviewed(known, timeout_seconds=limit).plan

    assert plan is not None
    assert plan.nodes[0].timeout.ToMicroseconds() / 1e6 == planned
    assert plan.nodes[0].HasField("timeout") == bool(planned)
