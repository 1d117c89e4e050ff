"""What must hold between the parts of a manifest."""

from collections.abc import Iterator
from typing import Final

from perdure.runlog.plans import AGENT_TOOLS
from perdure_control_plane.manifests.approvals import approval_faults
from perdure_control_plane.manifests.concurrency import concurrency_faults
from perdure_control_plane.manifests.contracts import contract_doubts, contract_faults
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.expressions import expression_faults, places
from perdure_control_plane.manifests.failure_takers import coverage_faults, taking_faults
from perdure_control_plane.manifests.graph import Graph, choice_faults
from perdure_control_plane.manifests.maps import map_faults, placed
from perdure_control_plane.manifests.model import (
    AgenticNode,
    ApprovalNode,
    DeterministicNode,
    Manifest,
    PlaybookNode,
    WaitNode,
)
from perdure_control_plane.manifests.names import name_doubts
from perdure_control_plane.manifests.parts import part_faults
from perdure_control_plane.manifests.schemas import schema_faults
from perdure_control_plane.manifests.secret_places import secret_doubts, secret_faults
from perdure_control_plane.manifests.waiting import wait_faults

_NO_OBJECTS: Final = ("array", "string", "number", "integer", "boolean", "null")


def faults(manifest: Manifest, *, ordered: bool = True) -> list[Diagnostic]:
    """Everything that makes a manifest unfit.

    Where two nodes have one id, or `ordered` says that not everything is there that tells it, nothing is said of the
    order of nodes.
    """
    of_order, graph = _order(manifest, ordered)
    return [
        *of_order,
        *(_jumps(manifest, graph) if graph else ()),
        *choice_faults(manifest),
        *expression_faults(manifest, graph.before if graph else None),
        *schema_faults(manifest),
        *_never_objects(manifest),
        *contract_faults(manifest, graph),
        *wait_faults(manifest),
        *approval_faults(manifest),
        *map_faults(manifest),
        *part_faults(manifest),
        *taking_faults(manifest),
        *concurrency_faults(manifest),
        *secret_faults(manifest),
        *(coverage_faults(manifest, graph) if graph else ()),
        *_tools(manifest),
        *_not_run_yet(manifest),
    ]


def doubts(manifest: Manifest) -> list[Diagnostic]:
    """What a reviewer should look at; it refuses nothing."""
    _, ordered = _order(manifest)
    found = []
    if not manifest.phases and not manifest.nodes:
        found.append(Diagnostic("phases", "NO_PHASES", "there is nothing to do: no phases and no nodes"))
    if not manifest.acceptance_criteria:
        found.append(Diagnostic("acceptance_criteria", "NO_ACCEPTANCE_CRITERIA", "nothing says when it is done well"))
    for path, node, _ in placed(manifest):
        if isinstance(node, DeterministicNode) and node.effect is None:
            reason = "counts as at_most_once: it is tried once, and a lost executor leaves it in doubt"
            found.append(Diagnostic(f"{path}.effect", "EFFECT_UNSTATED", reason))
    return [
        *found,
        *_repeated_effects(manifest),
        *_unknown_evidence(manifest),
        *_nul(manifest),
        *secret_doubts(manifest),
        *name_doubts(manifest, ordered.before if ordered else None),
        *(_passed_over(manifest, ordered) if ordered and ordered.leaves_out else ()),
        *(contract_doubts(manifest, ordered) if ordered else ()),
    ]


def _order(manifest: Manifest, known: bool = True) -> tuple[list[Diagnostic], Graph | None]:
    """Faults of the order of nodes, or their graph.

    What comes before what is not clear until the order is mended: faults that follow from it would only hide it.
    """
    has_order = known and len({node.id for node in manifest.nodes}) == len(manifest.nodes)
    graph = Graph.of(manifest) if has_order else None
    found = [*_duplicates(manifest), *_unknown_nodes(manifest), *(graph.faults() if graph else ())]
    return found, None if found else graph


def _passed_over(manifest: Manifest, graph: Graph) -> Iterator[Diagnostic]:
    """Readings of nodes that may not have been chosen."""
    for before, sure in zip(places(manifest, graph.before), places(manifest, graph.certain()), strict=True):
        read = set().union(*(one.sure_nodes for one in sure.template.readings))
        for other in sorted(read & (before.readable or set()) - (sure.readable or set())):
            reason = f"{other} may have been passed over; ask with has(nodes.{other}) before reading it"
            yield Diagnostic(sure.path, "NODE_MAY_BE_ABSENT", reason)


def _repeated_effects(manifest: Manifest) -> Iterator[Diagnostic]:
    for path, node, _ in placed(manifest):
        effect = getattr(node, "effect", None)
        cap = node.on_failure.max_iterations
        if effect in ("at_most_once", "compensable") and cap is not None and cap > 1:
            article = "an" if effect == "at_most_once" else "a"
            reason = f"max_iterations {cap} repeats {article} {effect} effect after a failure"
            yield Diagnostic(f"{path}.on_failure.max_iterations", "EFFECT_REPEATED", reason)


def _nul(manifest: Manifest) -> Iterator[Diagnostic]:
    for path, node, _ in placed(manifest):
        if isinstance(node, DeterministicNode):
            texts = {"command": node.command, "cwd": node.cwd}
            texts |= {f"args[{place}]": text for place, text in enumerate(node.args)}
            texts |= {f"env.{name}": text for name, text in node.env.items()}
            for field, text in texts.items():
                if "\0" in text:
                    reason = "it holds a NUL character, so no program can be started with it"
                    yield Diagnostic(f"{path}.{field}", "NUL_CHARACTER", reason)


def _unknown_evidence(manifest: Manifest) -> Iterator[Diagnostic]:
    """Required evidence of what no node leaves: a flow would not count as succeeded, whatever it does."""
    nodes = [(outer.id, node) for _, node, outer in placed(manifest)]
    approvals = {name for name, node in nodes if isinstance(node, ApprovalNode)}
    waits = {name for name, node in nodes if isinstance(node, WaitNode)}
    tasks = {name for name, _ in nodes} - approvals - waits | {phase.phase_id for phase in manifest.phases}
    children = {name for name, node in nodes if isinstance(node, PlaybookNode)}
    for index, required in enumerate(manifest.required_evidence):
        known = {"task": tasks, "approval": approvals}.get(required.kind)
        child, inside, _ = required.id.partition("/")
        if known is not None and required.id not in known and not (inside and child in children):
            reason = f"no node {required.id!r} leaves evidence of the kind {required.kind!r}"
            yield Diagnostic(f"required_evidence[{index}].id", "EVIDENCE_UNKNOWN", reason)


def _duplicates(manifest: Manifest) -> Iterator[Diagnostic]:
    lists: list[tuple[str, str, list[str]]] = [
        ("nodes", "id", [node.id for node in manifest.nodes]),
        ("phases", "phase_id", [phase.phase_id for phase in manifest.phases]),
        ("roles", "role_id", [role.role_id for role in manifest.roles]),
    ]
    if isinstance(manifest.inputs, list):
        lists.append(("inputs", "name", [given.name for given in manifest.inputs]))
    for field, key, ids in lists:
        first: dict[str, int] = {}
        for index, name in enumerate(ids):
            if first.setdefault(name, index) != index:
                reason = f"{name!r} stands already at {field}[{first[name]}].{key}"
                yield Diagnostic(f"{field}[{index}].{key}", "ID_DUPLICATE", reason)
    if manifest.nodes and manifest.phases:
        yield Diagnostic(
            "phases", "PHASES_AND_NODES", "a playbook has either phases or nodes; move the phases into nodes"
        )


def _unknown_nodes(manifest: Manifest) -> Iterator[Diagnostic]:
    known = {node.id for node in manifest.nodes}
    named: list[tuple[str, str | None]] = []
    for index, node in enumerate(manifest.nodes):
        named += [(f"nodes[{index}].depends[{place}]", other) for place, other in enumerate(node.depends)]
        named.append((f"nodes[{index}].on_failure.inject_into", node.on_failure.inject_into))
    for index, edge in enumerate(manifest.edges):
        named += [(f"edges[{index}].from", edge.source), (f"edges[{index}].to", edge.target)]
    for path, name in named:
        if name is not None and name not in known:
            code = "INJECT_UNKNOWN" if path.endswith("inject_into") else "NODE_UNKNOWN"
            yield Diagnostic(path, code, f"there is no node {name!r}")


def _jumps(manifest: Manifest, graph: Graph) -> Iterator[Diagnostic]:
    passages = graph.passages() if any(node.on_failure.inject_into for node in manifest.nodes) else {}
    for index, node in enumerate(manifest.nodes):
        target = node.on_failure.inject_into
        if target is None or target not in graph.nodes or target == node.id:
            continue
        if target not in graph.before[node.id]:
            reason = f"{target!r} does not come before {node.id!r}; a failure can only go back"
            yield Diagnostic(f"nodes[{index}].on_failure.inject_into", "INJECT_NOT_BEFORE", reason)
        elif target not in passages[node.id]:
            shared = ", ".join(other for other in graph.nodes if other in passages[node.id] - {node.id})
            meant = f"; it may go back to {shared}" if shared else ""
            reason = f"{target!r} is in one branch, and {node.id!r} is reached past it, too{meant}"
            yield Diagnostic(f"nodes[{index}].on_failure.inject_into", "INJECT_INTO_BRANCH", reason)


def _never_objects(manifest: Manifest) -> Iterator[Diagnostic]:
    """Schemas that nothing ever fits: what a flow is started with, and what comes with a signal, is an object."""
    schemas = {"inputs": manifest.inputs if isinstance(manifest.inputs, dict) else {}}
    for outer, node, _ in placed(manifest):
        if isinstance(node, WaitNode):
            schemas[f"{outer}.payload_schema"] = node.payload_schema or {}
    for path, schema in schemas.items():
        kinds = schema.get("type", "object")
        if all(kind in _NO_OBJECTS for kind in (kinds if isinstance(kinds, list) and kinds else [kinds])):
            yield Diagnostic(f"{path}.type", "SCHEMA_INVALID", "it is an object that must fit; write `type: object`")


def _tools(manifest: Manifest) -> Iterator[Diagnostic]:
    for index, tool in enumerate(manifest.tools.allow):
        if tool in manifest.tools.deny:
            yield Diagnostic(f"tools.allow[{index}]", "TOOL_CONFLICT", f"{tool!r} is both allowed and denied")
    for outer, node, _ in placed(manifest):
        for place, tool in enumerate((node.tools or []) if isinstance(node, AgenticNode) else []):
            path = f"{outer}.tools[{place}]"
            if tool not in AGENT_TOOLS:
                yield Diagnostic(path, "TOOL_UNKNOWN", f"there is no tool {tool!r}; there are {', '.join(AGENT_TOOLS)}")
            elif tool in manifest.tools.deny or (manifest.tools.allow and tool not in manifest.tools.allow):
                yield Diagnostic(path, "TOOL_CONFLICT", f"the playbook's own tool policy forbids {tool!r}")


def _not_run_yet(manifest: Manifest) -> Iterator[Diagnostic]:
    """What the format has and this version does not run: refused, so that nobody relies on it."""
    for path, node, _ in placed(manifest):
        if node.on_failure.escalate:
            yield _unsupported(f"{path}.on_failure.escalate", "say it by an error handler whose action is `escalate`")
        if isinstance(node, ApprovalNode) and node.policy != "conservative":
            yield _unsupported(f"{path}.policy", "approvals are decided by a person; leave it at `conservative`")
        if isinstance(node, DeterministicNode) and node.timeout_ms is not None and node.timeout_seconds is not None:
            reason = "the time limit is timeout_seconds, or the same in milliseconds; leave out one"
            yield Diagnostic(f"{path}.timeout_ms", "TIMEOUT_UNCLEAR", reason)
        if isinstance(node, AgenticNode) and node.agent is None and node.skill is None:
            yield Diagnostic(f"{path}.agent", "FIELD_MISSING", "name the agent, or the skill")
    if not manifest.tools.enforce:
        yield _unsupported("tools.enforce", "what the policy forbids is not offered to agents; leave it at true")


def _unsupported(path: str, reason: str) -> Diagnostic:
    return Diagnostic(path, "NOT_SUPPORTED", reason)
