"""Documents for other systems whose parts are of another kind than they should be: told by their places."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from perdure_control_plane.manifests.conversion.conversion import convert
from perdure_control_plane.manifests.document import read
from tests.unit.conversion import starters

STRANGE = ({"a": [1]}, [{"b": None}], "x", 10**400)
BOOK = {"version": "1.0", "name": "b"}


def documents() -> dict[str, Any]:
    return {name: read(text.encode()).values for name, text in vars(starters).items() if name.isupper()}


def bent(document: Any) -> Iterator[Any]:
    """The document with each of its parts replaced by each of what it should not be."""
    for path in list(places(document)):
        for strange in STRANGE:
            changed = copy.deepcopy(document)
            holder = changed
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = strange
            yield changed


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (key,)
        yield from ((key, *rest) for rest in places(part))


@pytest.mark.parametrize("name", documents())
def test_whatever_a_part_is_instead_the_document_is_converted_or_told_what_is_wrong(name: str) -> None:
    for document in bent(documents()[name]):
        made = convert(json.dumps(document).encode(), None)

        assert made.text or made.losses


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ({"type": {"a": 1}}, "nodes[0].type"),
        ({"type": "agentic", "skill": "s", "inputs": ["a"]}, "nodes[0].inputs"),
        ({"type": "deterministic", "command": "true", "env": "A=1"}, "nodes[0].env"),
        ({"type": "agentic", "skill": "s", "on_failure": {"inject_into": ["a"]}}, "nodes[0].on_failure.inject_into"),
    ],
)
def test_a_part_of_another_kind_is_named_by_its_place(node: dict[str, Any], path: str) -> None:
    made = convert(json.dumps({**BOOK, "nodes": [{"id": "a", **node}]}).encode(), None)

    assert (made.text, [loss.path for loss in made.losses]) == (b"", [path])
