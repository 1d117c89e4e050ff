"""Secrets in a manifest: where a reference to one may stand, and which places of a node hold one when its work begins.

A reference is resolved only where the manifest itself says so: one that is written there, or a field of the input that is
declared to be secret. What an expression makes of other values is text, even where it looks like a reference; else whoever
says something to a node could choose which secret it is given.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from perdure.secrets.paths import EVERY, Path, PathInvalid, leads_to, path, reads_alone
from perdure.secrets.references import SCHEME, ReferenceInvalid, reference
from perdure.v1 import plans_pb2
from perdure_control_plane.manifests import declared
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.expressions import Template, templates
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import (
    AgenticNode,
    DeterministicNode,
    FunctionNode,
    Manifest,
    MapNode,
    Node,
    PlaybookNode,
)
from perdure_control_plane.manifests.wording import suggestion


def secret_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Paths that are none, and references that are none, or stand where nothing resolves them."""
    yield from _no_paths("sensitive_inputs", manifest.sensitive_inputs)
    for place, node, _ in placed(manifest):
        unreadable = list(_no_paths(f"{place}.sensitive", getattr(node, "sensitive", [])))
        yield from unreadable or _no_outputs(f"{place}.sensitive", node)
        allowed = {field for _, field, _ in _may_hold(node)}
        for field, text in (*templates(node), *((("items", node.items),) if isinstance(node, MapNode) else ())):
            if SCHEME in text:
                yield from _faults(f"{place}.{field}", text, allowed=field in allowed)
    for index, edge in enumerate(manifest.edges):
        if SCHEME in (edge.when or ""):
            yield from _faults(f"edges[{index}].when", edge.when or "", allowed=False)


def secret_doubts(manifest: Manifest) -> Iterator[Diagnostic]:
    """Inputs that are declared to be secret and are not declared at all, or are read where they stay references."""
    sensitive, known = sensitive_paths(manifest), declared.inputs(manifest)
    for index, keys in enumerate(sensitive):
        if known is not None and keys[0] not in known:
            reason = f"no input {keys[0]} is declared{suggestion(keys[0], known)}"
            yield Diagnostic(f"sensitive_inputs[{index}]", "INPUT_UNKNOWN", reason)
    for place, node, _ in placed(manifest) if sensitive else ():
        if isinstance(node, DeterministicNode | FunctionNode | AgenticNode):
            resolved = {field for _, field in _resolved(node, sensitive)}
            for field, text in templates(node):
                if field not in resolved and any(_reads(Template(text), keys) for keys in sensitive):
                    reason = "it reads a secret input, which stays a reference here, and in any longer string"
                    yield Diagnostic(f"{place}.{field}", "SECRET_UNRESOLVED", reason)


def sensitive_paths(manifest: Manifest) -> list[Path]:
    """Fields of the input that hold secrets, but for those that are no paths and were told of."""
    found = []
    for text in manifest.sensitive_inputs:
        with contextlib.suppress(PathInvalid):
            found.append(path(text))
    return found


def sensitive_outputs(node: Node) -> list[Path]:
    """Fields of the output of a node without faults that are left out of the log."""
    return [path(text) for text in getattr(node, "sensitive", [])]


def secrets_of(manifest: Manifest, node: Node) -> Iterator[Path]:
    """Places of what a node without faults is called with in which there is a reference when its work begins."""
    if not isinstance(node, PlaybookNode):  # a child is given references as they are
        yield from (keys for keys, _ in _resolved(node, sensitive_paths(manifest)))


def field_paths(paths: Iterator[Path] | Sequence[Path]) -> list[plans_pb2.FieldPath]:
    """Paths as a plan has them."""
    return [plans_pb2.FieldPath(keys=keys) for keys in paths]


def _no_paths(place: str, texts: Sequence[str]) -> Iterator[Diagnostic]:
    for index, text in enumerate(texts):
        try:
            path(text)
        except PathInvalid as invalid:
            yield Diagnostic(f"{place}[{index}]", "PATH_INVALID", str(invalid))


def _no_outputs(place: str, node: Node) -> Iterator[Diagnostic]:
    """Paths into what a command with text never has: nothing would be left out for them."""
    if isinstance(node, DeterministicNode) and node.output == "text":
        for index, text in enumerate(node.sensitive):
            if text not in (*declared.TEXT_OUTPUT, EVERY):
                reason = f"the output of a command with text is {', '.join(declared.TEXT_OUTPUT)}"
                yield Diagnostic(f"{place}[{index}]", "PATH_INVALID", reason)


def _resolved(node: Node, sensitive: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for keys, field, text in _may_hold(node):
        if text.startswith(SCHEME) or reads_alone(text, sensitive):
            yield keys, field


def _may_hold(node: Node) -> Iterator[tuple[Path, str, str]]:
    """Every string of a node in which a reference may stand: its keys, its path as faults have it, and the string."""
    match node:
        case DeterministicNode():
            yield ("stdin",), "stdin", node.stdin
            yield from ((("env", name), f"env.{name}", text) for name, text in node.env.items())
        case FunctionNode() | PlaybookNode():
            yield from _strings(("inputs",), "inputs", node.inputs)


def _strings(keys: Path, field: str, value: Any) -> Iterator[tuple[Path, str, str]]:
    match value:
        case str():
            yield keys, field, value
        case dict():
            for key, inner in value.items():
                yield from _strings((*keys, key), f"{field}.{key}", inner)
        case list():
            for index, inner in enumerate(value):
                yield from _strings((*keys, str(index)), f"{field}[{index}]", inner)


def _faults(place: str, text: str, *, allowed: bool) -> Iterator[Diagnostic]:
    if not allowed:
        where = "the `env` or `stdin` of a command, or in `inputs` of a function or a playbook"
        yield Diagnostic(place, "SECRET_MISPLACED", f"nothing resolves a reference here; write it into {where}")
        return
    try:
        reference(text)
    except ReferenceInvalid as invalid:
        yield Diagnostic(place, "SECRET_INVALID", str(invalid))


def _reads(template: Template, keys: Path) -> bool:
    return any(leads_to(chain[1:] if chain[0] == "inputs" else chain, keys) for chain in template.chains if chain)
