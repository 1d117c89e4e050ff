"""Playbooks that a playbook starts as its children: what is known of them, and what is wrong with a reference to one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from perdure.runlog.json_objects import JsonObject
from perdure.runlog.plans import MAX_DEPTH, every_node, worst_effect
from perdure.v1 import instances_pb2, plans_pb2
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.maps import placed
from perdure_control_plane.manifests.model import Manifest, PlaybookNode

Reference = tuple[str, str]
"""Playbook id and version."""


@dataclass(frozen=True, slots=True)
class ChildPlaybook:
    """A version that is stored. `input_schema` is the plan's, parsed; empty accepts any object."""

    digest: str
    plan_digest: bytes
    plan: plans_pb2.Plan
    input_schema: JsonObject
    revoked: bool

    @property
    def depth(self) -> int:
        """Levels of playbooks from it downwards, itself included."""
        return 1 + max((node.playbook.depth for node in every_node(self.plan)), default=0)

    @property
    def effect(self) -> instances_pb2.Effect.ValueType:
        """The worst that it, or a child of it, does to the world outside."""
        return max(map(worst_effect, self.plan.nodes), default=instances_pb2.EFFECT_NONE)


Children = Mapping[Reference, ChildPlaybook]

NO_CHILDREN: Final[Children] = {}


def references(manifest: Manifest) -> tuple[Reference, ...]:
    """The versions that a manifest starts as children, each once."""
    named = ((node.playbook_id, node.version) for _, node, _ in placed(manifest) if isinstance(node, PlaybookNode))
    return tuple(dict.fromkeys(named))


def child_faults(manifest: Manifest, known: Children) -> Iterator[Diagnostic]:
    """Faults of all references."""
    for path, node, _ in placed(manifest):
        if isinstance(node, PlaybookNode):
            for field, code, reason in _faults(manifest, node, known.get((node.playbook_id, node.version))):
                yield Diagnostic(f"{path}.{field}", code, reason)


def _faults(manifest: Manifest, node: PlaybookNode, child: ChildPlaybook | None) -> Iterator[tuple[str, str, str]]:
    name = f"version {node.version} of {node.playbook_id!r}"
    if node.playbook_id == manifest.playbook_id:
        yield "playbook_id", "PLAYBOOK_RECURSIVE", "a playbook does not start itself, in whatever version"
    elif child is None:
        yield "playbook_id", "PLAYBOOK_UNKNOWN", f"there is no {name}; create it first"
    elif child.revoked:
        yield "version", "PLAYBOOK_REVOKED", f"{name} is revoked; name another version"
    elif node.digest is not None and node.digest != child.digest:
        yield "digest", "DIGEST_MISMATCH", f"{name} has the digest {child.digest}; review it again"
    elif child.depth > MAX_DEPTH:
        reason = (
            f"{name} starts playbooks {child.depth - 1} levels deep; at most {MAX_DEPTH} levels stand below a playbook"
        )
        yield "playbook_id", "PLAYBOOK_TOO_DEEP", reason
    elif child.plan.HasField("concurrency"):
        reason = f"{name} has a concurrency key, which a child does not heed; give the key to this playbook instead"
        yield "playbook_id", "CHILD_CONCURRENCY", reason
    else:
        for missing in _missing(child.input_schema.get("required"), node):
            yield "inputs", "INPUT_MISSING", f"{name} needs the input {missing!r}"


def _missing(required: Any, node: PlaybookNode) -> list[str]:
    names = required if isinstance(required, list) else []
    return [name for name in names if isinstance(name, str) and name not in node.inputs]
