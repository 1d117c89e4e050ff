"""What a person is shown and asked, at a hold point or by a question: its frozen form, and the evidence that there is."""

import hashlib
import secrets
from typing import Final

import rfc8785

from perdure.runlog.effects import approval_id
from perdure.runlog.json_objects import JsonObject, TooDeep, check_levels
from perdure.runlog.node_walk import NodeWalk, Phase
from perdure.v1 import approval_facts_pb2, instances_pb2, plans_pb2
from perdure_executor.node_context import NodeContext
from perdure_executor.results import Failed

PROMPT_BYTES: Final = 4096
"""Bytes of the question in the request itself; the subject has it whole."""


def canonical(shown: JsonObject, max_payload_bytes: int) -> bytes | Failed:
    """What is shown, as it is frozen (RFC 8785), or why it cannot be."""
    try:
        check_levels(shown["subject"])
        subject = rfc8785.dumps(shown)
    except TooDeep as error:
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, f"the subject {error}")
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        message = f"the subject has no canonical form: {error}"
        return Failed(instances_pb2.FAILURE_CAUSE_NOT_CANONICAL, message)
    if len(subject) > max_payload_bytes:
        message = f"the subject has {len(subject)} bytes; the limit is {max_payload_bytes}"
        return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)
    return subject


def frozen_request(context: NodeContext, shown: JsonObject, subject: bytes) -> approval_facts_pb2.ApprovalWait:
    """What every request of an attempt has that shows people this, frozen as `subject`; whoever asks says the rest."""
    return approval_facts_pb2.ApprovalWait(
        approval_id=approval_id(context.run_id, context.instance),
        subject_digest=hashlib.sha256(subject).digest(),
        nonce=secrets.token_hex(16),
        prompt=shown["prompt"].encode()[:PROMPT_BYTES].decode("utf-8", errors="ignore"),
    )


def evidence_so_far(context: NodeContext) -> list[JsonObject]:
    """What the nodes before it have left: commands that completed, and hold points that people let pass."""
    walk = context.walk
    done = [node for node in walk.taken_before(context.instance.node) if walk.nodes[node].phase is Phase.SUCCEEDED]
    kinds = ((node, _evidence_kind(walk.plan.nodes[node])) for node in done)
    return [
        {"id": node, "kind": kind} for node, kind in kinds if kind and not _went_on_by_itself(walk.nodes[node], kind)
    ]


def _went_on_by_itself(state: NodeWalk, kind: str) -> bool:
    """Whether nobody let a hold point pass: its time was over, or the plan took its failure."""
    return kind == "approval" and (state.excused or state.decision is None or state.decision.automatic)


def _evidence_kind(spec: plans_pb2.PlanNode) -> str:
    done = spec.part.node if spec.HasField("part") else spec
    return "approval" if done.HasField("approval") else "task" if done.HasField("deterministic") else ""
