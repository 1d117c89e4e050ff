"""The expressions in a manifest's strings: whether they are CEL, and read only what has happened by then."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from perdure.expressions.functions import FUNCTIONS
from perdure.expressions.loops import MAX_DEPTH, MAX_STEPS, loops
from perdure.expressions.syntax import TooNested
from perdure.expressions.templates import OPEN, TemplateInvalid, expressions
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import (
    AgenticNode,
    ApprovalNode,
    DeterministicNode,
    Manifest,
    MapNode,
    Node,
    WaitNode,
)
from perdure_control_plane.manifests.readings import Chain, Reading, chains, reading
from perdure_control_plane.manifests.wording import no_cel, suggestion

if TYPE_CHECKING:
    import cel

ITEM_NAMES: Final = ("item", "item_index")
"""Names that the node inside a map sees beside what the map does."""

MAX_BYTES: Final = 2048
"""Longest expression: a longer one may nest so deep that reading it ends the process."""


class Template:
    """A string that may hold expressions, looked at once however often it stands in a document."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _sources(self) -> list[str]:
        return expressions(self._text)

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

    @property
    def chains(self) -> set[Chain]:
        """Everything that its expressions may read, and perhaps more; nothing where it has faults."""
        return set() if self.faults else set().union(*(chains(one.source, one.variables()) for one in self._read[1]))

    @cached_property
    def _read(self) -> tuple[tuple[str, ...], tuple["cel.Program", ...]]:
        """Faults, and the expressions that have none."""
        try:
            found = [_compiled(source) for source in dict.fromkeys(self._sources())]
        except TemplateInvalid as error:
            return (str(error),), ()
        faults = tuple(one for one in found if isinstance(one, str))
        return faults, tuple(one for one in found if not isinstance(one, str))


class Bare(Template):
    """One expression, and nothing else: the condition of an edge, the list of a map."""

    def _sources(self) -> list[str]:
        if self._text.lstrip().startswith(OPEN):
            raise TemplateInvalid(f"it is one expression; write it without {OPEN}")
        return [self._text]


@dataclass(frozen=True, slots=True)
class Place:
    """A string with expressions: its path in the document, and the nodes that it may read; None where nobody can tell."""

    path: str
    template: Template
    readable: frozenset[str] | None
    names: tuple[str, ...] = ()
    """Names that it sees beside what every expression does."""


def places(manifest: Manifest, before: dict[str, set[str]] | None) -> Iterator[Place]:
    """Everything in a manifest that may hold expressions. `before` has the nodes before each, where it is known."""
    known: dict[str, Template] = {}
    for index, node in enumerate(manifest.nodes):
        readable = None if before is None else frozenset(before[node.id])
        for path, text in templates(node):
            yield Place(f"nodes[{index}].{path}", known.setdefault(text, Template(text)), readable)
        if isinstance(node, MapNode):
            yield Place(f"nodes[{index}].items", Bare(node.items), readable)
            for path, text in templates(node.node):
                template = known.setdefault(text, Template(text))
                yield Place(f"nodes[{index}].node.{path}", template, readable, ITEM_NAMES)
    for index, edge in enumerate(manifest.edges):
        if edge.when is not None:
            # It is evaluated when the node that the edge leaves has done its work, and sees what came of that.
            earlier = None if before is None else frozenset({*before[edge.source], edge.source})
            yield Place(f"edges[{index}].when", Bare(edge.when), earlier)


def expression_faults(manifest: Manifest, before: dict[str, set[str]] | None) -> Iterator[Diagnostic]:
    """Faults of all expressions. `before` has the nodes before each; None where nobody can tell."""
    for place in places(manifest, before):
        for fault in place.template.faults:
            yield Diagnostic(place.path, "EXPRESSION_INVALID", fault)
        for other in place.template.nodes:
            if place.readable is not None and other not in place.readable:
                reason = f"it reads nodes.{other}, which does not come before it"
                yield Diagnostic(place.path, "REFERENCE_NOT_BEFORE", reason)


def templates(node: Node) -> Iterator[tuple[str, str]]:
    """Every string of a node that may hold expressions, with its path in the node."""
    for index, promised in enumerate(node.ensures.output_files if node.ensures else ()):
        yield f"ensures.output_files[{index}].path", promised.path
        yield f"ensures.output_files[{index}].sha256", promised.sha256
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
            yield from _strings("assignees", node.assignees)
            yield from _strings("artifacts", node.artifacts)
            for index, rung in enumerate(node.escalate_to):
                yield from _strings(f"escalate_to[{index}].to", rung.to)
            for index, option in enumerate(node.options):
                yield f"options[{index}].label", option.label
        case WaitNode():
            yield "until", node.until or ""
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


def _compiled(source: str) -> "cel.Program | str":
    """A compiled expression, or what is wrong with it."""
    import cel  # late: it brings a terminal's editor along, for which no program should wait at its start

    if len(source.encode()) > MAX_BYTES:
        return f"an expression has more than {MAX_BYTES} bytes: {source[:60]}"
    try:
        program = cel.compile(source)
    except ValueError as error:
        return f"{source!r} is not CEL: {no_cel(source, str(error))}"
    return _too_much(source) or _unknown(source, program) or program


def _unknown(source: str, program: "cel.Program") -> str:
    """Which function of those that an expression calls is not there; empty where all are."""
    # The signs of operations are among its functions, under names that nobody can write.
    for name in program.functions():
        if name.isidentifier() and name not in FUNCTIONS:
            return f"{source[:60]!r} calls {name}(), and there is no such function{suggestion(name, FUNCTIONS)}"
    return ""


def _too_much(source: str) -> str:
    """Why an expression takes too long whatever it reads; empty where it does not."""
    try:
        found = loops(source)
    except TooNested as error:
        return f"{source[:60]!r}: {error}"
    if found.depth > MAX_DEPTH:
        deep = f"loops (map, filter, all, exists, exists_one) {found.depth} deep"
        return f"{source[:60]!r} has {deep}; {MAX_DEPTH} are the most"
    steps, _ = found.steps(None)
    if steps > MAX_STEPS:
        return f"{source[:60]!r} may take {steps} steps where each list has one item, and {MAX_STEPS} are the most"
    return ""
