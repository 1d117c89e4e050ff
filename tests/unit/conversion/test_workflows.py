"""Workflow specs: what each part becomes, and what is said of what becomes something else or nothing."""

from typing import Any

import pytest
import yaml

from perdure_control_plane.manifests.conversion.conversion import Conversion, SourceFormat, convert
from perdure_control_plane.manifests.document import read
from tests.unit.conversion import starters

AGENT = {"name": "w", "system_prompt": "Work."}


def spec(kind: str, *steps: dict[str, Any], **workflow: Any) -> tuple[Conversion, dict[str, Any]]:
    document = {
        "version": "v1",
        "agent": AGENT,
        "workflow": {"type": kind, "name": "x", "steps": list(steps), **workflow},
    }
    made = convert(yaml.safe_dump(document, sort_keys=False).encode(), None)
    return made, read(made.text).values if made.text else {}


def step(step_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": step_id, "kind": "agent", "ref": "w", **fields}


def codes(found: Any) -> list[tuple[str, str]]:
    return [(one.path, one.code) for one in found]


def test_every_part_of_a_sequence_is_carried_over_or_named() -> None:
    made = convert(starters.REVIEWED.encode(), None)
    manifest = read(made.text).values

    assert made.source is SourceFormat.WORKFLOW
    assert made.review is not None
    assert made.review.errors == ()
    assert [(node["id"], node["type"]) for node in manifest["nodes"]] == [
        ("draft", "agentic"), ("draft_fallback", "function"), ("count", "function"), ("check", "approval"),
        ("ship", "approval"),
    ]  # fmt: skip
    assert manifest["edges"] == [
        {"from": "draft", "to": "count"},
        {"from": "count", "to": "check"},
        {"from": "check", "to": "ship"},
        {"from": "draft_fallback", "to": "count"},
    ]
    assert [handler["action"] for handler in manifest["error_handlers"]] == ["go_to", "continue"]
    asked = {field: manifest["nodes"][3][field] for field in ("kind", "options", "default_option", "on_timeout")}
    assert asked == {
        "kind": "select",
        "options": ["a", {"id": "option_2", "label": "b, later"}],
        "default_option": "option_2",
        "on_timeout": "continue",
    }
    assert manifest["nodes"][0]["on_failure"] == {"max_iterations": 2}
    assert manifest["tools"] == {"allow": ["read_file"]}
    assert codes(made.losses) == [
        ("agent.guardrails", "GUARDRAILS"),
        ("agent.policies.tool.allow[1]", "TOOL_UNKNOWN"),
        ("agent.policies.tool.network", "TOOL_POLICY"),
        ("agent.strategy", "STRATEGY"),
        ("agents.writer.tools.include[1]", "TOOL_UNKNOWN"),
        ("components.humans.editor.assignee", "ASSIGNEE"),
        ("workflow.steps[3].ref", "REF_UNKNOWN"),
    ]


def test_what_cannot_be_done_here_becomes_a_hold_point_and_is_never_left_out() -> None:
    made, manifest = spec("sequential", step("a"), {"id": "b", "kind": "function", "ref": "nobody"}, step("c"))

    assert codes(made.losses) == [("workflow.steps[1].ref", "REF_UNKNOWN")]
    assert [node["type"] for node in manifest["nodes"]] == ["agentic", "approval", "agentic"]
    assert made.review is not None
    assert made.review.errors == ()


def test_steps_that_are_concurrent_are_done_side_by_side() -> None:
    made, manifest = spec("concurrent", step("a"), step("b"))

    assert manifest["edges"] == [{"from": "begin", "to": "a"}, {"from": "begin", "to": "b"}]
    assert made.review is not None
    assert made.review.errors == ()


def test_edges_of_a_graph_say_what_follows_success_and_failure() -> None:
    edges = [{"from": "a", "to": "b"}, {"from": "a", "to": "c", "condition": "failure"}]

    made, manifest = spec("graph", step("a"), step("b"), step("c"), edges=edges)

    assert manifest["edges"] == [{"from": "a", "to": "b"}, {"from": "a", "to": "c", "on": "failed"}]
    assert made.losses == ()
    assert made.review is not None
    assert made.review.errors == ()


def test_a_condition_that_is_not_known_is_not_left_out_silently() -> None:
    made, _ = spec("graph", step("a"), step("b"), edges=[{"from": "a", "to": "b", "condition": "x > 1"}])

    assert (made.text, codes(made.losses)) == (b"", [("workflow.edges[0].condition", "CONDITION_UNKNOWN")])


def test_a_step_that_names_nobody_is_told_by_its_own_name() -> None:
    made, manifest = spec("sequential", step("a"), {"id": "sign", "kind": "human"})

    assert "None" not in made.losses[0].reason
    assert manifest["nodes"][1]["prompt"] == "Do the step sign by hand, and approve when it is done."


def test_a_workflow_that_decides_as_it_goes_is_no_playbook() -> None:
    made, _ = spec("group-chat", step("a"))

    assert (made.text, codes(made.losses)) == (b"", [("workflow.type", "WORKFLOW_TYPE")])


def test_an_agent_alone_is_a_playbook_of_one_node() -> None:
    made = convert(yaml.safe_dump({"agent": AGENT}).encode(), SourceFormat.WORKFLOW)

    assert [node["id"] for node in read(made.text).values["nodes"]] == ["run"]
    assert made.losses == ()


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({"request_type": "approval"}, {}),
        ({"request_type": "correction"}, {"kind": "review"}),
        ({"request_type": "freeform"}, {"kind": "input"}),
        ({"on_timeout": "continue"}, {"on_timeout": "continue"}),
    ],
)
def test_a_person_is_asked_as_the_spec_asks(asked: dict[str, Any], made: dict[str, Any]) -> None:
    people = {"humans": {"boss": {"description": "Go?", **asked}}}
    steps = [{"id": "ask", "kind": "human", "ref": "boss"}]
    document = {"agent": AGENT, "components": people, "workflow": {"type": "sequential", "name": "x", "steps": steps}}

    conversion = convert(yaml.safe_dump(document).encode(), None)

    (node,) = read(conversion.text).values["nodes"]
    assert node == {"id": "ask", "type": "approval", "prompt": "Go?", **made}
    assert conversion.losses == ()


def test_what_nobody_decides_in_time_may_be_shown_to_another() -> None:
    people = {"humans": {"boss": {"description": "Go?", "on_timeout": "escalate"}}}
    steps = [step("a"), {"id": "ask", "kind": "human", "ref": "boss"}, step("b")]
    document = {"agent": AGENT, "components": people, "workflow": {"type": "sequential", "name": "x", "steps": steps}}

    made = convert(yaml.safe_dump(document).encode(), None)

    manifest = read(made.text).values
    asking = manifest["nodes"][1]
    assert (asking["on_timeout"], asking["escalate_to"]) == ("escalate", [{"to": ["role:admin"]}])
    assert ("components.humans.boss.on_timeout", "ESCALATED_TO") in codes(made.changes)
    assert made.review is not None
    assert made.review.errors == ()


def test_a_workflow_that_is_a_step_becomes_a_playbook_of_its_own_that_is_started() -> None:
    made = convert(starters.NESTED.encode(), None)
    looking, drafting = (read(child.text).values for child in made.children)
    manifest = read(made.text).values

    assert made.review is not None
    assert [faults for one in (*made.children, made) if one.review and (faults := one.review.errors)] == []
    assert made.losses == ()
    ids = [one["playbook_id"] for one in (looking, drafting, manifest)]
    assert ids == ["board.looking", "board.drafting", "board"]
    assert manifest["nodes"][0] == {
        "id": "draft",
        "type": "playbook",
        "playbook_id": "board.drafting",
        "version": "1.0.0",
        "inputs": {"content": "{{ request.content }}", "previous": {}},
        "timeout_seconds": 60.0,
        "on_failure": {"max_iterations": 2},
    }
    outline, look = drafting["nodes"]
    assert outline["inputs"] == {"previous": "{{ inputs.previous }}"}
    assert look["inputs"]["content"] == "{{ inputs.content }}"
    assert look["inputs"]["previous"] == '{{ "outline" in nodes ? nodes["outline"] : {} }}'
    assert looking["nodes"][1]["prompt"].endswith("{{ inputs.content }}")
    assert ("workflow.steps[0].ref", "WORKFLOW_STARTED") in codes(made.changes)


def test_workflows_that_do_each_other_are_no_playbooks() -> None:
    nested = {
        one: {"steps": [{"id": "x", "kind": "workflow", "ref": other}]} for one, other in (("a", "b"), ("b", "a"))
    }
    steps = [{"id": "z", "kind": "workflow", "ref": "a"}]
    document = {"agent": AGENT, "components": {"workflows": nested}, "workflow": {"name": "x", "steps": steps}}

    made = convert(yaml.safe_dump(document).encode(), None)

    assert (made.text, made.children) == (b"", ())
    assert codes(made.losses) == [("components.workflows.b.steps[0].ref", "WORKFLOW_CYCLE")]
    assert "a -> b -> a" in made.losses[0].reason


def test_a_workflow_that_no_step_does_is_named() -> None:
    document = {"agent": AGENT, "components": {"workflows": {"spare": {"steps": [step("a")]}}}}

    made = convert(yaml.safe_dump(document).encode(), None)

    assert codes(made.losses) == [("components.workflows.spare", "NEVER_REACHED")]


def test_participants_of_a_concurrent_workflow_are_its_steps() -> None:
    document = {"agent": AGENT, "workflow": {"type": "concurrent", "name": "x", "participants": [step("a"), step("b")]}}

    made = convert(yaml.safe_dump(document).encode(), None)

    assert [node["id"] for node in read(made.text).values["nodes"]] == ["begin", "a", "b"]
    assert made.losses == ()


def test_a_graph_of_named_nodes_goes_where_an_agents_words_lead() -> None:
    nodes = {name: {"id": name, "kind": "agent", "ref": "w"} for name in ("review", "revise", "finish", "spare")}
    edges = [
        {"from": "review", "to": "revise", "condition": {"type": "output_contains", "value": "REVISE"}},
        {"from": "review", "to": "finish", "condition": {"type": "output_contains", "value": "FINE"}},
        {"from": "revise", "to": "finish"},
    ]
    graph = {"type": "graph", "name": "x", "start": "review", "max_steps": 10, "nodes": nodes, "edges": edges}

    made = convert(yaml.safe_dump({"agent": AGENT, "workflow": graph}, sort_keys=False).encode(), None)
    manifest = read(made.text).values

    first, second = (f'nodes["review"].text.contains("{word}")' for word in ("REVISE", "FINE"))
    assert made.review is not None
    assert made.review.errors == ()
    assert codes(made.losses) == [("workflow.nodes.spare", "NEVER_REACHED")]
    assert {"from": "review", "to": "revise", "when": first} in manifest["edges"]
    assert {"from": "review", "to": "finish", "when": f"!({first}) && {second}"} in manifest["edges"]
    assert manifest["nodes"][1]["inputs"] == {"previous": '{{ "review" in nodes ? nodes["review"] : {} }}'}


def asked(*conditions: tuple[str, str | None]) -> tuple[Conversion, dict[str, Any]]:
    """A graph in which a person is asked, by where it goes on and what is looked for in what was said."""
    edges = [
        {"from": "ask", "to": to, "condition": {"type": "output_contains", "value": word} if word is not None else None}
        for to, word in conditions
    ]
    people = {"humans": {"boss": {"description": "Go?"}}}
    steps = [{"id": "ask", "kind": "human", "ref": "boss"}, step("publish"), step("archive")]
    graph = {"type": "graph", "name": "x", "steps": steps, "edges": edges}
    made = convert(yaml.safe_dump({"agent": AGENT, "components": people, "workflow": graph}).encode(), None)
    return made, read(made.text).values if made.text else {}


@pytest.mark.parametrize("rejected", ["Rejected by human", "REJECT", "rejected"])
@pytest.mark.parametrize("approved", [None, "Approved", "approve", "approved by human"])
def test_what_a_person_says_leads_a_graph_by_rejection_and_approval(rejected: str, approved: str | None) -> None:
    made, manifest = asked(("archive", rejected), ("publish", approved))

    assert manifest["edges"] == [
        {"from": "ask", "to": "publish"},
        {"from": "ask", "to": "archive", "on": "rejected"},
    ]
    assert made.losses == ()
    read_as = [(one.path, one.reason.split(",")[0]) for one in made.changes if one.code == "CONDITION_READ"]
    by_approval = ("workflow.edges[1].condition", f"{approved!r} is read as the approval of ask")
    by_rejection = ("workflow.edges[0].condition", f"{rejected!r} is read as the rejection of ask")
    assert read_as == [by_rejection, by_approval][: 1 if approved is None else 2]


@pytest.mark.parametrize("said", ["disapproved", "not approved", "unrejected", "approval pending", "", "yes"])
def test_words_of_a_person_that_may_mean_anything_are_not_read_as_a_decision(said: str) -> None:
    made, _ = asked(("publish", said))

    assert (made.text, codes(made.losses)) == (b"", [("workflow.edges[0].condition", "CONDITION_UNKNOWN")])


@pytest.mark.parametrize("refs", [("a b", "a-b"), ("a-b", "a b"), ("l" * 140 + "1", "l" * 140 + "2")])
def test_workflows_whose_names_are_written_alike_are_playbooks_apart(refs: tuple[str, str]) -> None:
    outer, inner = refs
    nested = {
        outer: {"steps": [step("o"), {"id": "in", "kind": "workflow", "ref": inner}]},
        inner: {"steps": [step("i")]},
    }
    steps = [{"id": "z", "kind": "workflow", "ref": outer}]
    document = {"agent": AGENT, "components": {"workflows": nested}, "workflow": {"name": "x", "steps": steps}}

    made = convert(yaml.safe_dump(document).encode(), None)

    inside, outside = (read(child.text).values for child in made.children)
    assert [one.review.errors for one in made.children if one.review] == [(), ()]
    assert len({read(made.text).values["playbook_id"], inside["playbook_id"], outside["playbook_id"]}) == 3
    assert outside["nodes"][1]["playbook_id"] == inside["playbook_id"]
    assert read(made.text).values["nodes"][0]["playbook_id"] == outside["playbook_id"]
    assert inside["nodes"][0]["id"] == "i"


def test_a_workflow_does_not_take_the_name_of_the_one_that_starts_it() -> None:
    document = {
        "agent": AGENT,
        "components": {"workflows": {"w": {"steps": [step("i")]}}},
        "workflow": {"name": "l" * 130, "steps": [{"id": "z", "kind": "workflow", "ref": "w"}]},
    }

    made = convert(yaml.safe_dump(document).encode(), None)

    (child,) = made.children
    assert read(child.text).values["playbook_id"] == "l" * 126 + "-2"
    assert read(made.text).values["playbook_id"] == "l" * 128
