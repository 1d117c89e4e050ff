"""Names that an expression reads although they are never there, or nothing declares them."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from perdure_control_plane.manifests import declared
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.expressions import places
from perdure_control_plane.manifests.model import Manifest
from perdure_control_plane.manifests.readings import Reading
from perdure_control_plane.manifests.wording import suggestion

FIXED: Final = ("inputs", "last_approval", "last_error", "last_failed_node", "nodes", "request")
"""Names that every expression sees."""

MAX_HINTS: Final = 20
"""Most doubts that say which name may have been meant, since that takes long to find out."""

MAX_HINTED: Final = 100
"""Most names that such a one is looked for among."""

Names = Collection[str] | None
"""Names, or None where there may be any."""


def name_doubts(manifest: Manifest, before: dict[str, set[str]] | None) -> Iterator[Diagnostic]:
    """Doubts about all expressions. `before` has the nodes before each; None where nobody can tell."""
    doubts = _Doubts(manifest)
    behind: dict[frozenset[str], Names] = {}
    for place in places(manifest, before):
        earlier = place.readable
        if earlier is not None and earlier not in behind:
            behind[earlier] = doubts.names_behind(earlier)
        names = None if earlier is None else behind[earlier]
        for read in place.template.readings:
            yield from doubts.about_outputs(place.path, read)
            yield from doubts.about_inputs(place.path, read)
            seen = {*names, *place.names} if names is not None and place.names else names
            yield from doubts.about_names(place.path, read, seen, earlier or ())


class _Doubts:
    def __init__(self, manifest: Manifest) -> None:
        self._outputs = {node.id: declared.outputs(node) for node in manifest.nodes}
        self._inputs = declared.inputs(manifest)
        self._plain_inputs = declared.plain_inputs(manifest)
        self._hints = MAX_HINTS

    def names_behind(self, earlier: Iterable[str]) -> Names:
        """All top-level names that a node behind others can read."""
        found = {*FIXED}
        for fields in (self._plain_inputs, *map(self._outputs.__getitem__, earlier)):
            if fields is None:
                return None
            found.update(fields)
        return found

    def about_outputs(self, place: str, read: Reading) -> Iterator[Diagnostic]:
        for node, field in sorted(read.outputs):
            fields = self._outputs.get(node)
            if fields is not None and field not in fields:
                yield Diagnostic(place, "OUTPUT_UNKNOWN", f"{node} has no output {field}{_listed(fields)}")

    def about_inputs(self, place: str, read: Reading) -> Iterator[Diagnostic]:
        for name in sorted(_without(read.inputs, self._inputs)):
            reason = f"no input {name} is declared{self._hint(name, self._inputs)}"
            yield Diagnostic(place, "INPUT_UNKNOWN", reason)

    def about_names(self, place: str, read: Reading, names: Names, earlier: Collection[str]) -> Iterator[Diagnostic]:
        for name in sorted(_without(read.names, names)):
            meant = f"; did you mean nodes.{name}?" if name in earlier else self._hint(name, names)
            reason = f"no input {name} is declared, and no node before this one has such an output{meant}"
            yield Diagnostic(place, "NAME_UNKNOWN", reason)

    def _hint(self, name: str, known: Names) -> str:
        if known is None or len(known) > MAX_HINTED or not self._hints:
            return ""
        self._hints -= 1
        return suggestion(name, known)


def _without(read: Iterable[str], known: Names) -> Iterator[str]:
    """What is read and not known; nothing where there may be any."""
    return iter(()) if known is None else (name for name in read if name not in known)


def _listed(fields: Collection[str]) -> str:
    return f"; it has {', '.join(fields)}" if fields else ""
