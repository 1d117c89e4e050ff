"""Hold points: the question to a person, frozen as it is asked."""

import hashlib
import json

from perdure.runlog.decisions import ASSIGNEE_LENGTH, PRINCIPALS, ROLE, decision_word
from perdure.runlog.effects import GUARDED
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.plans import worst_effect
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2, plans_pb2
from perdure_executor.expressions import render_text
from perdure_executor.frozen_subjects import artifacts_of, subject_of
from perdure_executor.node_context import Ask, NodeContext, Prepared
from perdure_executor.promised_files import NotAsPromised
from perdure_executor.results import CannotPrepare, Failed
from perdure_executor.shown import canonical, evidence_so_far, frozen_request


def prepare(context: NodeContext) -> Prepared:
    """Renders the question and freezes what it is about. Raises CannotPrepare."""
    spec, bindings = context.node.approval, context.see()
    assignees = _assignees(spec, bindings)
    ladder = [_rung(rung, bindings) for rung in spec.escalate_to]
    try:
        shown = _shown(context, bindings, assignees, ladder)
    except NotAsPromised as error:
        return Failed(instances_pb2.FAILURE_CAUSE_REQUIRES_NOT_MET, str(error))
    subject = canonical(shown, context.equipment.max_payload_bytes)
    if isinstance(subject, Failed):
        return subject
    asked = frozen_request(context, shown, subject)
    asked.MergeFrom(
        approval_facts_pb2.ApprovalWait(
            allowed=spec.allowed,
            kind=spec.kind,
            options=[option.id for option in spec.options],
            four_eyes=spec.four_eyes,
            assignees=assignees,
            quorum=spec.quorum,
            on_timeout=spec.on_timeout,
            escalate_to=ladder,
            reminders=spec.reminders,
            default_option=spec.default_option,
        )
    )
    return Ask(
        subject, fact_events_pb2.WaitOpened(instance=context.instance.message(), timeout=spec.expiry, approval=asked)
    )


def _shown(
    context: NodeContext, bindings: JsonObject, assignees: list[str], ladder: list[decisions_pb2.Escalation]
) -> JsonObject:
    spec = context.node.approval
    artifacts = artifacts_of(spec, bindings, context.equipment.workspace)
    return {
        "allowed": [decision_word(kind) for kind in spec.allowed],
        "assignees": assignees,
        "bindings_digest": hashlib.sha256(json_bytes(bindings)).hexdigest(),
        "effects": _effects_that_follow(context),
        "evidence": evidence_so_far(context),
        "escalate_to": [list(rung.to) for rung in ladder],
        "four_eyes": [decisions_pb2.FourEyes.Name(rule).removeprefix("FOUR_EYES_").lower() for rule in spec.four_eyes],
        "instance": str(context.instance),
        "kind": decisions_pb2.ApprovalKind.Name(spec.kind).removeprefix("APPROVAL_KIND_").lower(),
        "on_timeout": decisions_pb2.OnTimeout.Name(spec.on_timeout).removeprefix("ON_TIMEOUT_").lower(),
        "prompt": render_text(spec.prompt, bindings),
        "quorum": spec.quorum,
        "run": f"runs/{context.run_id}",
        "subject": subject_of(spec, bindings),
        **({"artifacts": artifacts} if artifacts else {}),
        **_ways(spec, bindings),
    }


def _assignees(spec: plans_pb2.ApprovalNode, bindings: JsonObject) -> list[str]:
    """Whom its node names, by name and by role. Raises CannotPrepare where they are fewer than must say the same."""
    assignees = [_assignee(written, bindings) for written in spec.assignees]
    people = len(set(assignees))
    if assignees and people < spec.quorum and not any(one.startswith(ROLE) for one in assignees):
        message = f"its assignees are {people} at most, and {spec.quorum} people must say the same"
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_EXPRESSION, message)
    return assignees


def _assignee(written: str, bindings: JsonObject) -> str:
    """Who is asked. What an expression gives is never a role: whoever gave the input is not to choose one.

    Raises CannotPrepare.
    """
    assignee = render_text(written, bindings)
    is_one = assignee.startswith(ROLE if written.startswith(ROLE) else PRINCIPALS)
    if not is_one or len(assignee) > ASSIGNEE_LENGTH or not assignee.isprintable():
        message = f"the assignee {written!r} gives no principal: {assignee[:80]!r}"
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_EXPRESSION, message)
    return assignee


def _rung(planned: decisions_pb2.Escalation, bindings: JsonObject) -> decisions_pb2.Escalation:
    timeout = planned.timeout if planned.HasField("timeout") else None
    return decisions_pb2.Escalation(to=[_assignee(written, bindings) for written in planned.to], timeout=timeout)


def _ways(spec: plans_pb2.ApprovalNode, bindings: JsonObject) -> JsonObject:
    """The options, and what the content of a decision must be, where there are any."""
    ways: JsonObject = {}
    if spec.options:
        labels = {option.id: render_text(option.label, bindings) for option in spec.options}
        ways["options"] = [{"id": key, "label": label} if label else {"id": key} for key, label in labels.items()]
    if spec.default_option:
        ways["default_option"] = spec.default_option
    if spec.content_key:
        ways["content_key"] = spec.content_key
    if spec.content_schema:
        ways["content_schema"] = json.loads(spec.content_schema)
    return ways


def _effects_that_follow(context: NodeContext) -> list[JsonObject]:
    """What this decision lets happen that will not be repeated by itself, in the order of the plan."""
    plan = context.walk.plan
    behind = [(node, worst_effect(plan.nodes[node])) for node in plan.behind_gate(context.node.id)]
    return [
        {"effect": instances_pb2.Effect.Name(effect).removeprefix("EFFECT_").lower(), "node": node}
        for node, effect in behind
        if effect in GUARDED
    ]
