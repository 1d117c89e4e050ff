"""Manifests: the examples and others, bent in their text or in their structure; expressions and schemas inside of them.

Of those that are accepted, the ones whose nodes do nothing to the world are started, and an executor walks them.
"""

import functools
import json
import pathlib
import random
from typing import Any, Final

from ruamel.yaml import YAML

from perdure.v1 import flows_pb2, playbooks_pb2
from perdure_control_plane.manifests.document import read
from tests.fuzz.bending import ATOMS, bent_json, bent_text
from tests.fuzz.case import Outcome, Place
from tests.fuzz.playbooks import INPUTS, SAMPLES, SCHEMA, STEP, manifest
from tests.fuzz.population import path_of

EXAMPLES: Final = sorted((pathlib.Path(__file__).parents[3] / "examples").glob("*/*.yaml"))
HARMLESS: Final = ("function", "approval", "wait", "map", "playbook")
"""Kinds of nodes that may be walked when they are bent; what a bent command would do nobody knows."""
MADE_FOR_OTHERS: Final = """
version: "1.0"
name: rework
description: Write, and look at it.
inputs: [{name: topic, required: true}, {name: depth, default: 2}]
nodes:
  - {id: write, type: agentic, skill: writer, role: lead, inputs: {topic: "{{inputs.topic}}"}}
  - {id: look, type: agentic, agent: reader, requires: {from: write, fields: [text]}, on_failure: {inject_into: write}}
  - {id: test, type: deterministic, command: "true", depends: [look], ensures: {exitCode: 0}}
  - {id: ask, type: approval, prompt: "Is it right?"}
edges: [{from: write, to: look, contract: {ensures: [text], requires: [topic]}}]
error_handlers: [{on: agentic_timeout, action: inject_hint, message: Be brief}]
"""
OPERANDS: Final = (
    "inputs.n", "inputs", "nodes.first", "nodes.first.said", "nodes.first.said.n", "said", "item", "index",
    "last_error", "last_approval.decider", "request.content",
    "1", "0", "-1",
    "2.5", "'x'", '"é"', "b'x'", "true", "null", "[1, 2]", "[]", "{'a': 1}", "{}", "9223372036854775807", "1u",
    "1e308", "r'\\d'",
    "duration('1h')", "timestamp('2030-01-01T00:00:00Z')", "nodes", "inputs", "x.y.z", "''", "{{", "int", "type(1)",
    "'a' * 3",
)  # fmt: skip
OPERATORS: Final = ("+", "-", "*", "/", "%", "==", "!=", "<", "<=", "&&", "||", "in", ".", "?", "=>", "**", ",", "\n")
FORMS: Final = (
    "{a}.map(v, {b})", "{a}.filter(v, {b})", "{a}.all(v, v == {b})", "{a}.exists_one(v, {b})", "size({a})",
    "string({a})", "int({a})",
    "{a}.matches({b})", "{a} ? {b} : {c}", "has({a}.x)", "{a}[{b}]", "({a})", "!{a}", "-{a}", "[{a}, {b}]",
    "{{'k': {a}}}", "{a}.{b}",
    "double({a})", "{a}.contains({b})", "{a}.size()", "{a}.startsWith({b})", "dyn({a})",
    "{a}.map(v, {a}.map(w, {b}))", "bytes({a})",
    "{a}.getHours()", "{a}.split({b})", "{a}.join({b})", "{a} {op} {b}", "{a} {op} {b}", "{a} {op} {b}",
)  # fmt: skip
SCHEMAS: Final[tuple[Any, ...]] = (
    SCHEMA, INPUTS, True, False, {}, {"type": ["string", "null"]}, {"enum": [1, "a", None]}, {"const": {"a": 1}},
    {"$ref": "#"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, {"$ref": "https://example.org/x"},
    {"pattern": "^(a+)+$"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, {"pattern": "("},
    {"pattern": "a{99999}"},
    {"allOf": [{"minimum": 1}, {"maximum": 0}]}, {"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"not": {}},
    {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False}, {"multipleOf": 0},
    {"multipleOf": 0.1},
    {"prefixItems": [{"type": "integer"}], "items": False}, {"contains": {"const": 1}, "minContains": 2},
    {"uniqueItems": True},
    {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": False}, {"dependentRequired": {"a": ["b"]}},
    {"minLength": -1},
    {"propertyNames": {"maxLength": 2}}, {"unevaluatedProperties": False}, {"format": "date-time"},
    {"format": "regex"}, {"type": "x"},
    {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}, {"$id": "a",
    "$anchor": "b"},
    {"$dynamicRef": "#a"}, {"items": [{"type": "integer"}]}, {"minimum": 1e400}, {"maxItems": 2**70},
    {"properties": {"n": False}},
)  # fmt: skip


@functools.cache
def _known() -> list[tuple[str, Any]]:
    """Every manifest that is right, as text and as a document."""
    texts = [path.read_text() for path in EXAMPLES]
    known = [
        (text, json.loads(json.dumps(YAML(typ="safe").load(text), default=str))) for text in (*texts, MADE_FOR_OTHERS)
    ]
    return [*known, *((json.dumps(made), made) for made in (manifest(name, "-known") for name in SAMPLES))]


@functools.cache
def _fragments() -> list[Any]:
    """Parts of them, and values that nothing should be."""
    parts: list[Any] = [*ATOMS, *SCHEMAS]
    for _, document in _known():
        parts += [*document.values(), *document.get("nodes", ()), *document.get("edges", ())]
    return parts


def manifests(chance: random.Random, place: Place) -> Outcome:
    """A manifest that is bent."""
    text, document = chance.choice(_known())
    if chance.random() < 0.4:
        for _ in range(chance.choice((1, 1, 2, 4))):
            text = bent_text(
                chance,
                text,
                ("&a ", "*a", "!!python/name:os.system", "? ", ": ", "- ", "|\n", ">-\n", "<<: ", "#", "---\n"),
            )
        content = text.encode(errors="surrogatepass")
    else:
        for _ in range(chance.choice((1, 1, 2, 3))):
            document = bent_json(chance, document, _fragments())
        content = json.dumps(document).encode()
    source = chance.choice((0, 0, 1, 2, 9)) if chance.random() < 0.25 else None
    return _convert(place, content, source) if source is not None else _store(chance, place, content, "manifest")


def expressions(chance: random.Random, place: Place) -> Outcome:
    """A playbook in which expressions stand wherever they may, made by their grammar, and bent."""
    one, two = (_expression(chance, chance.choice((1, 2, 3))) for _ in range(2))
    said = {"v": f"{{{{ {one} }}}}", "w": f"is {{{{ {two} }}}}"}
    ask = {"type": "approval", "prompt": f"{{{{ {two} }}}}?", "subject": {"s": f"{{{{ {one} }}}}"}}
    nodes: list[dict[str, Any]] = [{"id": "first", **STEP, "function": "echo", "inputs": {"n": "{{ inputs.n }}"}}]
    document = _playbook(place, nodes)
    match chance.randrange(4):
        case 0:
            nodes += [{"id": "a", **STEP, "function": "echo", "inputs": said}, {"id": "ask", **ask}]
        case 1:
            nodes.append({"id": "each", "type": "map", "items": one, "node": {**STEP, "inputs": {"i": said["v"]}}})
        case 2:
            nodes.append(
                {"id": "each", "type": "map", "items": "[1, 2]", "node": {**ask, "prompt": f"{{{{ {one} }}}}"}}
            )
        case _:
            nodes += [{"id": "b", **STEP}, {"id": "c", **STEP}]
            document["edges"] = [{"from": "first", "to": "b", "when": two}, {"from": "first", "to": "c"}]
    return _store(chance, place, json.dumps(document).encode(), "expression")


def schemas(chance: random.Random, place: Place) -> Outcome:
    """A playbook with schemas of what it is started with and of what people say, and a start with something of the kind."""
    schema = chance.choice(SCHEMAS)
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        schema = bent_json(chance, schema, SCHEMAS)
    ask = {"id": "ask", "type": "approval", "kind": "input", "prompt": "?", "content_schema": schema}
    wait = {"id": "w", "type": "wait", "signal": "s", "payload_schema": chance.choice((schema, SCHEMA))}
    document = _playbook(place, [{"id": "a", **STEP}, ask, wait])
    document["inputs"] = schema if chance.random() < 0.6 else INPUTS
    return _store(chance, place, json.dumps(document).encode(), "schema")


def _playbook(place: Place, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    head = {"playbook_id": f"bent-{place.number}", "version": "1.0.0", "title": "Bent", "objective": "Be walked"}
    return {**head, "inputs": INPUTS, "nodes": nodes}


def _expression(chance: random.Random, levels: int) -> str:
    if levels == 0 or chance.random() < 0.25:
        return chance.choice(OPERANDS)
    parts = {name: _expression(chance, levels - 1) for name in "abc"}
    made = chance.choice(FORMS).format(op=chance.choice(OPERATORS), **parts)
    return bent_text(chance, made, OPERANDS) if chance.random() < 0.1 else made


def _convert(place: Place, content: bytes, source: int) -> Outcome:
    request = playbooks_pb2.ConvertPlaybookRequest(document={"text": content}, source=source)
    answer = place.ask(path_of("ConvertPlaybook"), request, place.people["admin"])
    return Outcome("ConvertPlaybook", answer.word, repr(content)[:6000], answer.fault)


def _store(chance: random.Random, place: Place, content: bytes, what: str) -> Outcome:
    """Has a manifest looked at, stores it where it is right, and starts it where that does no harm."""
    told = f"{what}: {content!r}"[:6000]
    checked = place.ask(
        path_of("ValidatePlaybook"),
        playbooks_pb2.ValidatePlaybookRequest(document={"text": content}),
        place.people["admin"],
    )
    if checked.fault or checked.code != "OK":
        return Outcome("ValidatePlaybook", checked.word, told, checked.fault)
    found = playbooks_pb2.ValidatePlaybookResponse.FromString(checked.messages[0])
    if not found.valid:
        fault = "" if found.errors else "it is not valid, and nothing says why"
        return Outcome("ValidatePlaybook", "not valid", told, fault)
    created = place.ask(
        path_of("CreatePlaybookVersion"),
        playbooks_pb2.CreatePlaybookVersionRequest(document={"text": content}),
        place.people["admin"],
    )
    if created.code != "OK":
        allowed = ("VERSION_EXISTS", "POLICY_FORBIDS")
        fault = "" if created.reason in allowed else f"valid, and not stored: {created.word}"
        return Outcome("CreatePlaybookVersion", created.word, told, created.fault or fault)
    version = playbooks_pb2.PlaybookVersion.FromString(created.messages[0])
    return _start(chance, place, version, content, told)


def _start(chance: random.Random, place: Place, version: Any, content: bytes, told: str) -> Outcome:
    document = read(content).values
    nodes = [*document.get("nodes", ()), *(node.get("node", {}) for node in document.get("nodes", ()))]
    if not all(node.get("type", "function") in HARMLESS for node in nodes if node) or not nodes:
        return Outcome("CreatePlaybookVersion", "OK", told)
    evidence = [{"kind": "review", "id": "all"}]
    published = playbooks_pb2.PublishPlaybookVersionRequest(name=version.name, digest=version.digest, evidence=evidence)
    answer = place.ask(path_of("PublishPlaybookVersion"), published, place.people["admin"])
    if answer.code != "OK":
        return Outcome("PublishPlaybookVersion", answer.word, told, answer.fault)
    given = json.dumps(bent_json(chance, {"n": 3, "tags": ["a"]}) if chance.random() < 0.6 else {"n": 3}).encode()
    request = flows_pb2.StartFlowRequest(
        playbook_version=version.name, digest=version.digest, session=f"sessions/s{place.population.suffix}",
        idempotency_key=f"bent-{place.number}", request={"input": given},
    )  # fmt: skip
    answer = place.ask(path_of("StartFlow"), request, place.people["admin"])
    return Outcome("StartFlow", answer.word, f"{told}\nstarted with {given!r}"[:9000], answer.fault)
