"""What must be true of nodes that wait."""

from collections.abc import Iterator
from datetime import datetime

from perdure.runlog.moments import NotAMoment, moment
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import Manifest, WaitNode


def wait_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of all nodes that wait."""
    for path, node, _ in placed(manifest):
        if isinstance(node, WaitNode):
            yield from _faults(path, node)


def _faults(path: str, node: WaitNode) -> Iterator[Diagnostic]:
    given = [name for name in ("duration_seconds", "until", "signal") if getattr(node, name) is not None]
    if len(given) != 1:
        said = f"it has {' and '.join(given)}" if given else "it has none"
        reason = f"a wait ends in one way: write duration_seconds, until or signal; {said}"
        yield Diagnostic(f"{path}.{given[1] if given else 'type'}", "WAIT_UNCLEAR", reason)
    if node.signal is None:
        for field in ("timeout_seconds", "payload_schema"):
            if getattr(node, field) is not None:
                yield Diagnostic(f"{path}.{field}", "WAIT_UNCLEAR", f"{field} goes with signal; a time comes by itself")
    if node.until is not None and "{{" not in node.until:
        try:
            moment(node.until)
        except NotAMoment as error:
            yield Diagnostic(f"{path}.until", "FIELD_VALUE", str(error))


def moment_of(until: str) -> datetime | None:
    """The moment that a text without faults names; None where its expressions say it later."""
    return None if "{{" in until else moment(until)
