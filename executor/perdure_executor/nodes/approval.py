"""Hold points: the question to a person, frozen as it is asked."""

import hashlib
import json
import secrets
from typing import Final

import rfc8785

from perdure.runlog.effects import GUARDED, approval_id
from perdure.runlog.json_objects import JsonObject, TooDeep, check_levels
from perdure.runlog.plans import worst_effect
from perdure.v1 import fact_events_pb2, instances_pb2
from perdure_executor.expressions import render, render_text
from perdure_executor.node_context import Ask, NodeContext, Prepared
from perdure_executor.results import Failed

PROMPT_BYTES: Final = 4096
"""Bytes of the question in the request itself; the subject has it whole."""


def prepare(context: NodeContext) -> Prepared:
    """Renders the question and freezes what it is about."""
    spec, bindings = context.node.approval, context.see()
    prompt = render_text(spec.prompt, bindings)
    shown = {
        "allowed": ["approved", "rejected"],
        "effects": _effects_that_follow(context),
        "instance": str(context.instance),
        "prompt": prompt,
        "run": f"runs/{context.run_id}",
        "subject": render(json.loads(spec.subject), bindings) if spec.subject else {},
    }
    try:
        check_levels(shown["subject"])
        subject = rfc8785.dumps(shown)
    except TooDeep as error:
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, f"the subject {error}")
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        message = f"the subject has no canonical form: {error}"
        return Failed(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, message)
    if len(subject) > context.equipment.max_payload_bytes:
        message = f"the subject has {len(subject)} bytes; the limit is {context.equipment.max_payload_bytes}"
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
    asked = fact_events_pb2.ApprovalWait(
        approval_id=approval_id(context.run_id, context.instance),
        subject_digest=hashlib.sha256(subject).digest(),
        allowed=[fact_events_pb2.DECISION_KIND_APPROVED, fact_events_pb2.DECISION_KIND_REJECTED],
        nonce=secrets.token_hex(16),
        prompt=prompt.encode()[:PROMPT_BYTES].decode("utf-8", errors="ignore"),
    )
    wait = fact_events_pb2.WaitOpened(instance=context.instance.message(), timeout=spec.expiry, approval=asked)
    return Ask(subject, wait)


def _effects_that_follow(context: NodeContext) -> list[JsonObject]:
    """What this decision lets happen that will not be repeated by itself, in the order of the plan."""
    plan = context.walk.plan
    behind = [(node, worst_effect(plan.nodes[node])) for node in plan.behind_gate(context.node.id)]
    return [
        {"effect": instances_pb2.Effect.Name(effect).removeprefix("EFFECT_").lower(), "node": node}
        for node, effect in behind
        if effect in GUARDED
    ]
