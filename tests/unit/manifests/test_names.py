"""Names in expressions: what is never there, or declared nowhere, is doubted, and nothing else is."""

from collections.abc import Callable
from typing import Any

import pytest

Fields = dict[str, Any]

CLOSED = {"type": "object", "properties": {"who": {}, "names": {}}, "additionalProperties": False}
LIST = [{"name": "who", "required": True}, {"name": "names"}]


def ask(prompt: str, node_id: str = "last") -> Fields:
    return {"id": node_id, "type": "approval", "prompt": prompt}


def command(**fields: Any) -> Fields:
    return {"id": "first", "type": "deterministic", "command": "true", "effect": "none", **fields}


def agent(**fields: Any) -> Fields:
    return {"id": "first", "type": "agentic", "agent": "a", "prompt": "x", **fields}


@pytest.fixture
def doubts(reviewed: Callable[..., Any]) -> Callable[..., list[str]]:
    """What is doubted about an expression in the last node of a playbook, behind others."""

    def found(expression: str, *nodes: Fields, **fields: Any) -> list[str]:
        result = reviewed(nodes=[*nodes, ask(f"{{{{ {expression} }}}}")], **fields)
        assert result.errors == ()
        return [f"{doubt.code}: {doubt.reason}" for doubt in result.warnings]

    return found


NO_INPUT = "INPUT_UNKNOWN: no input whoo is declared; did you mean who?"
NO_NAME = "NAME_UNKNOWN: no input whoo is declared, and no node before this one has such an output; did you mean who?"


@pytest.mark.parametrize("inputs", [CLOSED, LIST], ids=["closed schema", "list"])
@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("inputs.whoo", NO_INPUT),
        ("inputs . whoo.size()", NO_INPUT),
        ("size(inputs['zzz'])", "INPUT_UNKNOWN: no input zzz is declared"),
        ("names.map(x, x + inputs.whoo)", NO_INPUT),
        ("has(inputs.who) ? inputs.whoo : 'a'", NO_INPUT),
        ("whoo", NO_NAME),
        ("names.all(x, x != whoo)", NO_NAME),
    ],
)
def test_an_input_that_is_not_declared_is_doubted(
    doubts: Callable[..., list[str]], inputs: Any, expression: str, said: str
) -> None:
    assert doubts(expression, inputs=inputs) == [said]


@pytest.mark.parametrize("inputs", [CLOSED, LIST], ids=["closed schema", "list"])
@pytest.mark.parametrize(
    "expression",
    [
        "inputs.who + who",
        "names.all(x, x.whoo != 'y' && x == who)",
        "names.map(inputs, inputs.whoo)",
        "[names].exists_one(each, each.exists(one, one.filter(x, x.y).size() > 0))",
        "has(inputs.whoo) ? inputs.whoo : who",
        "has(inputs.whoo) && has(inputs.whoo.a) ? inputs.whoo.a : who",
        "'whoo' in inputs ? inputs.whoo.size() : 1",
        "'whoo' in inputs ? whoo : who",
        r"""'inputs.whoo' + "whoo" + r'\d' + '\'inputs.whoo' + '''a "inputs.whoo" '''""",
        "who // inputs.whoo, and whoo",
        "request.content + request.whoo",
        "who.inputs.whoo",
        "last_error == null ? 'a' : last_error.message",
        "last_approval.reason",
        "type(who) == string && type(1.5e3) == double",
        "optional.none()",
        "{'whoo': who, 'b': [inputs.names[0]]}",
        "inputs[who]",
        "nodes.size()",
    ],
)
def test_nothing_is_said_of_what_may_be_there(doubts: Callable[..., list[str]], inputs: Any, expression: str) -> None:
    assert doubts(expression, inputs=inputs) == []


@pytest.mark.parametrize(
    "inputs",
    [
        {"type": "object", "properties": {"who": {}}},
        {"additionalProperties": {"type": "string"}},
        {"additionalProperties": False, "patternProperties": {"^w": {}}},
        {},
    ],
    ids=["properties", "of one kind", "patterns", "anything"],
)
def test_nothing_is_said_of_inputs_that_a_schema_is_open_to(doubts: Callable[..., list[str]], inputs: Any) -> None:
    assert doubts("whoo + inputs.whoo", inputs=inputs) == []


def test_where_no_inputs_are_declared_only_a_name_that_stands_alone_is_doubted(
    doubts: Callable[..., list[str]],
) -> None:
    unknown = "no input whom is declared, and no node before this one has such an output"

    assert doubts("whom") == [f"NAME_UNKNOWN: {unknown}"]
    assert doubts("inputs.whom") == []


@pytest.mark.parametrize(
    ("node", "there"),
    [(command(), "stdout"), (ask("?", "first"), "subject"), (agent(), "text"), (agent(output_schema=CLOSED), "who")],
    ids=["command", "approval", "agent", "agent with a schema"],
)
def test_the_outputs_of_a_node_before_are_there_and_no_others(
    doubts: Callable[..., list[str]], node: Fields, there: str
) -> None:
    assert doubts(f"[{there}, nodes.first.{there}, nodes['first'].{there}]", node) == []
    assert [doubt.split(":")[0] for doubt in doubts("[zzz, nodes.first.zzz]", node)] == [
        "OUTPUT_UNKNOWN",
        "NAME_UNKNOWN",
    ]


@pytest.mark.parametrize(
    "node",
    [
        command(output="json"),
        {"id": "first", "type": "function", "function": "f", "effect": "none"},
        agent(output_schema={"properties": {"who": {}}}),
    ],
    ids=["command", "function", "agent"],
)
def test_nothing_is_said_behind_a_node_that_may_return_anything(doubts: Callable[..., list[str]], node: Fields) -> None:
    assert doubts("zzz + nodes.first.zzz", node) == []


def test_an_output_that_is_asked_for_first_is_not_doubted(doubts: Callable[..., list[str]]) -> None:
    assert doubts("has(nodes.first.zzz) ? nodes.first.zzz : 'a'", command()) == []


def test_the_outputs_of_a_node_that_comes_later_are_not_there(reviewed: Callable[..., Any]) -> None:
    result = reviewed(nodes=[ask("{{ stdout }}"), command()])

    assert [(doubt.path, doubt.code) for doubt in result.warnings] == [("nodes[0].prompt", "NAME_UNKNOWN")]


def test_a_node_that_is_read_by_its_id_alone_is_offered_with_its_place(doubts: Callable[..., list[str]]) -> None:
    assert [doubt.split("; ")[-1] for doubt in doubts("first.stdout", command())] == ["did you mean nodes.first?"]


@pytest.mark.parametrize("expression", ["inputs.nodes.last", "'last' in nodes", "[inputs].map(nodes, nodes.last)"])
def test_what_is_no_read_of_a_node_asks_for_no_order(doubts: Callable[..., list[str]], expression: str) -> None:
    assert doubts(expression) == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("nosuch(1)", "'nosuch(1)' calls nosuch(), and there is no such function"),
        ("sise([1])", "'sise([1])' calls sise(), and there is no such function; did you mean size?"),
    ],
)
def test_a_function_that_is_not_there_is_a_fault(reviewed: Callable[..., Any], expression: str, said: str) -> None:
    result = reviewed(nodes=[ask(f"{{{{ {expression} }}}}")])

    assert [(fault.code, fault.reason) for fault in result.errors] == [("EXPRESSION_INVALID", said)]
