"""The expressions in a manifest's strings: whether they are CEL, and read only what has happened by then."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import cel

from perdure.runlog.templates import TemplateInvalid, expressions
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import AgenticNode, ApprovalNode, DeterministicNode, Node
from perdure_control_plane.manifests.readings import Reading, reading
from perdure_control_plane.manifests.wording import no_cel

MAX_BYTES: Final = 2048
"""Longest expression: a longer one may nest so deep that reading it ends the process."""


class Template:
    """A string that may hold expressions, looked at once however often it stands in a document."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with it, wherever it stands."""
        return self._read[0]

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """What each of its expressions reads; none where it has faults."""
        return () if self.faults else tuple(reading(one.source, one.variables()) for one in self._read[1])

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Ids of the nodes that it reads; none where it has faults."""
        return tuple(sorted(set().union(*(one.nodes for one in self.readings))))

    @cached_property
    def _read(self) -> tuple[tuple[str, ...], tuple[cel.Program, ...]]:
        """Faults, and the expressions that have none."""
        try:
            found = [_compiled(source) for source in dict.fromkeys(expressions(self._text))]
        except TemplateInvalid as error:
            return (str(error),), ()
        faults = tuple(one for one in found if isinstance(one, str))
        return faults, tuple(one for one in found if not isinstance(one, str))


def expression_faults(nodes: list[Node], before: dict[str, set[str]] | None) -> Iterator[Diagnostic]:
    """Faults of all expressions. `before` has the nodes before each; None where nobody can tell."""
    known: dict[str, Template] = {}
    for index, node in enumerate(nodes):
        for path, text in templates(node):
            template = known.setdefault(text, Template(text))
            for fault in template.faults:
                yield Diagnostic(f"nodes[{index}].{path}", "EXPRESSION_INVALID", fault)
            for other in template.nodes:
                if before is not None and other not in before[node.id]:
                    reason = f"it reads nodes.{other}, which does not come before it"
                    yield Diagnostic(f"nodes[{index}].{path}", "REFERENCE_NOT_BEFORE", reason)


def templates(node: Node) -> Iterator[tuple[str, str]]:
    """Every string of a node that may hold expressions, with its path in the node."""
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


def _compiled(source: str) -> cel.Program | str:
    """A compiled expression, or what is wrong with it."""
    if len(source.encode()) > MAX_BYTES:
        return f"an expression has more than {MAX_BYTES} bytes: {source[:60]}"
    try:
        return cel.compile(source)
    except ValueError as error:
        return f"{source!r} is not CEL: {no_cel(source, str(error))}"
