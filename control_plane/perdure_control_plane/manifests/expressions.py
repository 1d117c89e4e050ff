"""The expressions in a manifest's strings: whether they are CEL, and read only what has happened by then."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import cel

from perdure.runlog.templates import TemplateInvalid, expressions, referenced_fields, referenced_nodes
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import AgenticNode, ApprovalNode, DeterministicNode, Node

MAX_BYTES: Final = 2048
"""Longest expression: a longer one may nest so deep that reading it ends the process."""


TEXT_OUTPUT: Final = ("exit_code", "stdout", "stderr")
"""What a command has as output that is text."""


class Template:
    """A string that may hold expressions, looked at once however often it stands in a document."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with it, wherever it stands."""
        try:
            return tuple(fault for source in self._sources if (fault := _fault(source)))
        except TemplateInvalid as error:
            return (str(error),)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Ids of the nodes that it reads; none where it has faults."""
        return () if self.faults else tuple(sorted(set().union(*map(referenced_nodes, self._sources))))

    @cached_property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Ids of nodes with the fields of their outputs that it reads; none where it has faults."""
        return () if self.faults else tuple(sorted(set().union(*map(referenced_fields, self._sources))))

    @cached_property
    def _sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(expressions(self._text)))


def expression_faults(nodes: list[Node], before: dict[str, set[str]] | None) -> Iterator[Diagnostic]:
    """Faults of all expressions. `before` has the nodes before each; None where nobody can tell."""
    known: dict[str, Template] = {}
    for index, node in enumerate(nodes):
        for path, text in _templates(node):
            template = known.setdefault(text, Template(text))
            for fault in template.faults:
                yield Diagnostic(f"nodes[{index}].{path}", "EXPRESSION_INVALID", fault)
            for other in template.nodes:
                if before is not None and other not in before[node.id]:
                    reason = f"it reads nodes.{other}, which does not come before it"
                    yield Diagnostic(f"nodes[{index}].{path}", "REFERENCE_NOT_BEFORE", reason)


def output_doubts(nodes: Sequence[Node]) -> Iterator[Diagnostic]:
    """Expressions that read what the output of a command as text never has."""
    known: dict[str, Template] = {}
    commands = {node.id for node in nodes if isinstance(node, DeterministicNode) and node.output == "text"}
    for index, node in enumerate(nodes):
        for path, text in _templates(node):
            for other, field in known.setdefault(text, Template(text)).fields:
                if other in commands and field not in TEXT_OUTPUT:
                    reason = f"{other} has no output {field}; it has {', '.join(TEXT_OUTPUT)}"
                    yield Diagnostic(f"nodes[{index}].{path}", "OUTPUT_UNKNOWN", reason)


def _templates(node: Node) -> Iterator[tuple[str, str]]:
    match node:
        case AgenticNode():
            yield "prompt", node.prompt
            yield "workspace", node.workspace
            yield from _strings("inputs", node.inputs)
        case DeterministicNode():
            yield "command", node.command
            yield "cwd", node.cwd
            yield "stdin", node.stdin
            yield from _strings("args", node.args)
            yield from _strings("env", node.env)
        case ApprovalNode():
            yield "prompt", node.prompt
            yield from _strings("subject", node.subject)
        case _:
            yield from _strings("inputs", getattr(node, "inputs", {}))


def _strings(path: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for key, inner in value.items():
                yield from _strings(f"{path}.{key}", inner)
        case list():
            for index, inner in enumerate(value):
                yield from _strings(f"{path}[{index}]", inner)


def _fault(source: str) -> str:
    if len(source.encode()) > MAX_BYTES:
        return f"an expression has more than {MAX_BYTES} bytes: {source[:60]}"
    try:
        cel.compile(source)
    except ValueError as error:
        return f"{source!r} is not CEL: {str(error).splitlines()[0]}"
    return ""
