"""What an expression reads: top-level names, inputs, nodes and fields of their outputs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from perdure.expressions.marks import MACROS
from perdure.expressions.marks import marks as read

Chain = tuple[str, ...]
"""A top-level name and the fields that are read of it in turn: `nodes.a.stdout` is `("nodes", "a", "stdout")`."""

TYPES: Final = frozenset(("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"))
"""Names that CEL itself has; more than these can only be called."""

NAMESPACES: Final = frozenset(("optional",))
"""Names that stand before CEL's own functions: `optional.none()`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one expression reads. `inputs` and `outputs` have nothing that it asks for, with `has()` or `in`."""

    names: frozenset[str] = frozenset()
    """Top-level names, without macros' own variables, what CEL itself has, and inputs that it asks for."""
    inputs: frozenset[str] = frozenset()
    """Names of inputs that it reads as `inputs.<name>` or `inputs["<name>"]`."""
    nodes: frozenset[str] = frozenset()
    """Ids of nodes that it reads as `nodes.<id>` or `nodes["<id>"]`."""
    sure_nodes: frozenset[str] = frozenset()
    """The same where it reads them without having asked for any, with `has(nodes.<id>)` or `"<id>" in nodes`."""
    outputs: frozenset[tuple[str, str]] = frozenset()
    """Ids of nodes, each with a field of its output."""


def reading(source: str, variables: Iterable[str]) -> Reading:
    """What a valid expression reads. `variables` are the names in it as CEL's parser found them, macros' own as well."""
    marks = read(source)
    chains = set(_chains(marks))
    asked = set(_asked(marks))
    sure = {chain for chain in chains if not any(chain[: len(one)] == one for one in asked)}
    asked_inputs = {chain[1] for chain in asked if chain[0] == "inputs" and len(chain) > 1}
    asks_for_nodes = any(chain[0] == "nodes" for chain in asked)
    nodes = frozenset(chain[1] for chain in chains if chain[0] == "nodes" and len(chain) > 1)
    return Reading(
        names=_free(chains, marks, variables) - TYPES - NAMESPACES - asked_inputs,
        inputs=frozenset(chain[1] for chain in sure if chain[0] == "inputs" and len(chain) > 1),
        nodes=nodes,
        sure_nodes=frozenset() if asks_for_nodes else nodes,
        outputs=frozenset((chain[1], chain[2]) for chain in sure if chain[0] == "nodes" and len(chain) > 2),
    )


def chains(source: str, variables: Iterable[str]) -> set[Chain]:
    """Everything that a valid expression may read, and perhaps more: a name of which it is not clear what is read, whole."""
    marks = read(source)
    found = set(_chains(marks))
    names = _free(found, marks, variables)
    found = {chain for chain in found if chain[0] in names}
    return found | {(name,) for name in names - {chain[0] for chain in found}}


def _free(chains: set[Chain], marks: list[str], variables: Iterable[str]) -> frozenset[str]:
    """Of the variables those that are more than a macro's own."""
    bound = {name for at in range(len(marks)) if (name := _bound(marks, at))}
    return frozenset(variables) - (bound - {chain[0] for chain in chains})


def _bound(marks: list[str], at: int) -> str:
    """The variable of the macro that opens here; empty where none does."""
    match marks[max(0, at - 2) : at + 3]:
        case [".", macro, "(", name, ","] if macro in MACROS:
            return name
    return ""


def _chains(marks: list[str]) -> Iterator[Chain]:
    """Every name that is not a macro's own where it stands, with the fields that are read of it."""
    bound: list[str] = []
    for at, mark in enumerate(marks):
        if mark == "(":
            bound.append(_bound(marks, at))
        elif mark == ")":
            bound.pop()
        elif mark.isidentifier() and marks[at - 1 : at] != ["."] and mark not in bound:
            yield mark, *_fields(marks, at + 1)


def _asked(marks: list[str]) -> Iterator[Chain]:
    """Chains of which the expression asks whether they are there."""
    for at in range(2, len(marks)):
        match marks[at - 2 : at + 1]:
            case ["has", "(", name]:
                yield name, *_fields(marks, at + 1)
            case [quoted, "in", name] if key := _text(quoted):
                yield name, *_fields(marks, at + 1), key


def _fields(marks: list[str], at: int) -> Iterator[str]:
    while True:
        match marks[at : at + 4]:
            case [".", name, *after] if name.isidentifier() and after[:1] != ["("]:
                yield name
                at += 2
            case ["[", quoted, "]", *_] if key := _text(quoted):
                yield key
                at += 3
            case _:
                return


def _text(mark: str) -> str:
    """What a plain text in quotes says; empty for anything else."""
    return mark[1:-1] if mark[0] in "'\"" and "\\" not in mark and mark[1:2] != mark[:1] else ""
