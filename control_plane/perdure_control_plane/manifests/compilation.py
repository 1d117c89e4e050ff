"""Makes the plan of a manifest that has no faults."""

import math
from collections.abc import Iterator
from typing import Any

from perdure.runlog.effects import GUARDED
from perdure.runlog.parts import providers_of
from perdure.runlog.plans import DEFAULT_ITERATION_CAP, DEFAULT_JUMP_LIMIT, WORKSPACE_TOOLS
from perdure.v1 import instances_pb2, plans_pb2
from perdure_control_plane.manifests.approvals import compiled_approval
from perdure_control_plane.manifests.children import NO_CHILDREN, ChildPlaybook, Children
from perdure_control_plane.manifests.compiled_contracts import edge_contract, needs, promises
from perdure_control_plane.manifests.compiled_values import duration, json_of
from perdure_control_plane.manifests.failure_takers import compiled, failures
from perdure_control_plane.manifests.graph import Graph, choosing, steps
from perdure_control_plane.manifests.model import (
    AgenticNode,
    ApprovalNode,
    DeterministicNode,
    Edge,
    FunctionNode,
    Manifest,
    MapNode,
    Node,
    Phase,
    PlaybookNode,
    Retry,
    WaitNode,
)
from perdure_control_plane.manifests.parts import placed, set_digests, shard_of
from perdure_control_plane.manifests.secret_places import field_paths, secrets_of, sensitive_outputs, sensitive_paths
from perdure_control_plane.manifests.waiting import moment_of


def compile_plan(manifest: Manifest, digest: str, children: Children = NO_CHILDREN) -> plans_pb2.Plan:
    """The plan of a manifest. `digest` is the manifest's own; `children` has every version that it starts."""
    plan = plans_pb2.Plan(
        playbook_id=manifest.playbook_id,
        version=manifest.version,
        playbook_digest=digest,
        jump_limit=DEFAULT_JUMP_LIMIT,
        input_schema=json_of(_input_schema(manifest)),
    )
    if manifest.timeout_seconds is not None:
        plan.timeout.CopyFrom(duration(manifest.timeout_seconds))
    for required in [*manifest.required_evidence, *(r for phase in manifest.phases for r in phase.required_evidence)]:
        plan.required_evidence.add(kind=required.kind, id=required.id, description=required.description)
    if manifest.nodes:
        plan.nodes.extend(_node(manifest, node, children) for node in manifest.nodes)
        plan.edges.extend(_edges(manifest))
        plan.edges.extend(_failure_edge(edge) for edge in manifest.edges if edge.on)
    else:
        plan.nodes.extend(_phase(manifest, phase) for phase in manifest.phases)
        ids = [phase.phase_id for phase in manifest.phases]
        plan.edges.extend(plans_pb2.PlanEdge(source=a, target=b) for a, b in zip(ids, ids[1:], strict=False))
    graph = Graph.of(manifest)
    plan.error_handlers.extend(compiled(manifest, handler, graph) for handler in manifest.error_handlers)
    set_digests(plan)
    plan.sensitive_inputs.extend(field_paths(sensitive_paths(manifest)))
    plan.providers.extend(providers_of(plan))
    plan.labels.extend(sorted(set(manifest.labels)))
    if (concurrency := manifest.concurrency) is not None:
        plan.concurrency.CopyFrom(
            plans_pb2.PlanConcurrency(
                key=concurrency.key,
                limit=concurrency.limit,
                at_limit=plans_pb2.PlanConcurrency.AtLimit.Value(f"AT_LIMIT_{concurrency.at_limit.upper()}"),
            )
        )
    return plan


def _edges(manifest: Manifest) -> Iterator[plans_pb2.PlanEdge]:
    plain = [edge for edge in manifest.edges if not edge.on]
    guards = {(edge.source, edge.target): edge.when or "" for edge in plain}
    contracts = {(edge.source, edge.target): edge.contract for edge in plain if edge.contract is not None}
    guarded = choosing(manifest)
    for step in steps(manifest):
        source, target = step
        when = guards.get(step, "")
        agreed = edge_contract(contracts[step]) if step in contracts else None
        otherwise = source in guarded and not when
        yield plans_pb2.PlanEdge(source=source, target=target, when=when, otherwise=otherwise, contract=agreed)


def _failure_edge(edge: Edge) -> plans_pb2.PlanEdge:
    agreed = edge_contract(edge.contract) if edge.contract else None
    return plans_pb2.PlanEdge(source=edge.source, target=edge.target, on=failures(edge.on or ()), contract=agreed)


def _node(manifest: Manifest, node: Node, children: Children) -> plans_pb2.PlanNode:
    made = plans_pb2.PlanNode(id=node.id, description=node.description, inject_into=node.on_failure.inject_into or "")
    match node:
        case AgenticNode():
            made.effect = instances_pb2.EFFECT_NONE
            made.agentic.CopyFrom(_agentic(manifest, node))
            _set_call(made, node.inputs, node.timeout_seconds)
        case DeterministicNode():
            made.effect = _effect(node.effect)
            made.deterministic.CopyFrom(_command(node))
            _set_call(made, {}, node.timeout_ms / 1000 if node.timeout_ms else node.timeout_seconds)
        case FunctionNode():
            made.effect = _effect(node.effect)
            made.function.function = node.function
            _set_call(made, node.inputs, node.timeout_seconds)
        case ApprovalNode():
            made.effect = instances_pb2.EFFECT_NONE
            made.approval.CopyFrom(compiled_approval(node))
        case WaitNode():
            made.effect = instances_pb2.EFFECT_NONE
            made.wait.CopyFrom(_wait(node))
        case PlaybookNode():
            made.effect = instances_pb2.EFFECT_NONE
            child = children[node.playbook_id, node.version]
            made.playbook.CopyFrom(_playbook(node, child))
            _set_call(made, node.inputs, _limit(node, child))
        case MapNode():
            made.effect = instances_pb2.EFFECT_NONE
            made.map.CopyFrom(_map(manifest, node, children))
        case _:
            raise TypeError(f"a node of type {type(node).__name__} has no plan")
    made.secrets.extend(field_paths(secrets_of(manifest, node)))
    made.sensitive.extend(field_paths(sensitive_outputs(node)))
    _set_retries(made, node)
    if node.requires is not None:
        made.requires.CopyFrom(needs(node.requires))
    if node.ensures is not None:
        made.ensures.CopyFrom(promises(node.ensures))
    return placed(node, made)


def _set_call(made: plans_pb2.PlanNode, inputs: dict[str, Any], timeout_seconds: float | None) -> None:
    if inputs:
        made.inputs = json_of(inputs)
    if timeout_seconds is not None:
        made.timeout.CopyFrom(duration(timeout_seconds))


def _set_retries(made: plans_pb2.PlanNode, node: Node) -> None:
    cap = node.on_failure.max_iterations
    # A child is a whole procedure: like an effect it is not repeated unless its author says so. Of a map the items are.
    once = made.effect in GUARDED or made.HasField("playbook") or made.HasField("map")
    if cap is None and (not once or made.inject_into):
        cap = DEFAULT_ITERATION_CAP
    if cap is not None:
        made.iteration_cap = cap
    if node.retry is not None:
        made.backoff.CopyFrom(_backoff(node.retry))


def _agentic(manifest: Manifest, node: AgenticNode) -> plans_pb2.AgenticNode:
    schema = b"" if node.output_schema is None else json_of(node.output_schema)
    return plans_pb2.AgenticNode(
        agent=node.agent or node.skill or "",
        role=node.role,
        prompt=node.prompt,
        provider=node.provider or manifest.runtime_defaults.provider,
        model=node.model or manifest.runtime_defaults.model,
        tools=_allowed_tools(manifest, node.tools),
        workspace=node.workspace,
        output_schema=schema,
    )


def _playbook(node: PlaybookNode, child: ChildPlaybook) -> plans_pb2.PlaybookNode:
    return plans_pb2.PlaybookNode(
        playbook_id=node.playbook_id,
        version=node.version,
        digest=child.digest,
        plan_digest=child.plan_digest,
        input_schema=child.plan.input_schema,
        effect=child.effect,
        depth=child.depth,
        sensitive_inputs=child.plan.sensitive_inputs,
    )


def _limit(node: PlaybookNode, child: ChildPlaybook) -> float | None:
    """The node's time limit, where it is not the child's own that ends it anyway."""
    own = child.plan.timeout.ToMicroseconds() / 1e6 if child.plan.HasField("timeout") else math.inf
    limit = node.timeout_seconds
    return limit if limit is not None and limit < own else None


def _map(manifest: Manifest, node: MapNode, children: Children) -> plans_pb2.MapNode:
    inside = _node(manifest, node.node.model_copy(update={"id": node.id}), children)
    made = plans_pb2.MapNode(items=node.items, node=inside, max_parallel=node.max_parallel)
    if node.on_item_failure == "fail":
        made.tolerated_failures = 0
    elif node.tolerated_failures is not None:
        made.tolerated_failures = node.tolerated_failures
    shard = shard_of(node, made)
    if shard is not None:
        made.shard.CopyFrom(shard)
    return made


def _phase(manifest: Manifest, phase: Phase) -> plans_pb2.PlanNode:
    criteria = "".join(f"\n- {criterion}" for criterion in phase.acceptance_criteria)
    prompt = f"{phase.objective}\n\nIt is done when:{criteria}" if criteria else phase.objective
    agentic = plans_pb2.AgenticNode(
        agent=phase.phase_id,
        role="worker",
        prompt=prompt,
        provider=manifest.runtime_defaults.provider,
        model=manifest.runtime_defaults.model,
        tools=_allowed_tools(manifest, None),
    )
    return plans_pb2.PlanNode(
        id=phase.phase_id,
        effect=instances_pb2.EFFECT_NONE,
        iteration_cap=DEFAULT_ITERATION_CAP,
        description=phase.objective[:200],
        agentic=agentic,
    )


def _allowed_tools(manifest: Manifest, wanted: list[str] | None) -> list[str]:
    policy = manifest.tools
    offered = WORKSPACE_TOOLS if wanted is None else wanted
    return [tool for tool in offered if tool not in policy.deny and (not policy.allow or tool in policy.allow)]


def _command(node: DeterministicNode) -> plans_pb2.CommandNode:
    formats = {"text": plans_pb2.OUTPUT_FORMAT_TEXT, "json": plans_pb2.OUTPUT_FORMAT_JSON}
    return plans_pb2.CommandNode(
        arguments=[node.command, *node.args],
        cwd=node.cwd,
        env=[plans_pb2.EnvironmentVariable(name=name, value=value) for name, value in node.env.items()],
        stdin=node.stdin,
        success_exit_codes=node.success_exit_codes,
        output_format=formats[node.output],
        shell=node.shell,
    )


def _wait(node: WaitNode) -> plans_pb2.WaitNode:
    made = plans_pb2.WaitNode()
    if node.duration_seconds is not None:
        made.duration.CopyFrom(duration(node.duration_seconds))
    elif node.until is not None:
        moment = moment_of(node.until)
        if moment is None:
            made.until_text = node.until
        else:
            made.until_time.FromDatetime(moment)
    else:
        made.signal = node.signal or ""
    if node.timeout_seconds is not None:
        made.expiry.CopyFrom(duration(node.timeout_seconds))
    if node.payload_schema is not None:
        made.payload_schema = json_of(node.payload_schema)
    return made


def _backoff(retry: Retry) -> plans_pb2.Backoff:
    return plans_pb2.Backoff(
        initial=duration(retry.initial_seconds),
        maximum=duration(retry.maximum_seconds),
        factor=retry.factor,
        jitter=retry.jitter,
    )


def _effect(word: str | None) -> instances_pb2.Effect.ValueType:
    return instances_pb2.Effect.Value(f"EFFECT_{(word or 'at_most_once').upper()}")


def _input_schema(manifest: Manifest) -> dict[str, Any]:
    if isinstance(manifest.inputs, dict):
        return manifest.inputs
    return {
        "type": "object",
        "properties": {given.name: {"description": given.description} for given in manifest.inputs},
        "required": [given.name for given in manifest.inputs if given.required],
    }
