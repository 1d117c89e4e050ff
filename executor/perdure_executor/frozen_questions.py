"""What comes of work that asks: the question, frozen as it is asked, and without what is secret."""

import hashlib
from collections.abc import Mapping

from perdure.runlog.bindings import bindings
from perdure.runlog.decisions import decision_word
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.v1 import approval_facts_pb2, decisions_pb2, fact_events_pb2, instances_pb2
from perdure_executor.asking import AnswerUnreadable, Asking
from perdure_executor.node_context import Ask, NodeContext, line
from perdure_executor.question import Question
from perdure_executor.results import Asked, Failed
from perdure_executor.sealing import sealed
from perdure_executor.shown import canonical, evidence_so_far, frozen_request


def asking(context: NodeContext) -> Asking:
    """What asks people for an attempt, with what they have answered in the present visit of its node."""
    state = context.walk.nodes[context.instance.place]
    answers = state.answers if state.visit == context.instance.visit else ()
    return Asking(answers, context.equipment.codec, context.equipment.secrets.redaction)


def came_of(context: NodeContext, asking: Asking | None) -> Asked | Failed | None:
    """What an attempt has come to that asked, however its work took that; None where it did not."""
    match asking.ended if asking is not None else None:
        case None:
            return None
        case AnswerUnreadable() as unreadable:
            return Failed(instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT, line(str(unreadable)))
        case asks:
            return _asked(context, asks.question)


def _asked(context: NodeContext, question: Question) -> Asked | Failed:
    redacted = context.equipment.secrets.redaction.text
    shown = _shown(context, question, redacted(question.prompt), {k: redacted(v) for k, v in question.options.items()})
    subject = canonical(shown, context.equipment.max_payload_bytes)
    if isinstance(subject, Failed):
        return subject
    wait = fact_events_pb2.WaitOpened(
        instance=context.instance.message(), approval=_approval(context, question, shown, subject)
    )
    wait.timeout.FromMicroseconds(round(question.timeout * 1e6))
    ready = sealed(context, Ask(subject, wait))
    if not isinstance(ready, Ask):
        assert isinstance(ready, Failed)
        return ready
    return Asked(approval_facts_pb2.Question(approval=ready.wait.approval, timeout=ready.wait.timeout), ready.subject)


def _shown(context: NodeContext, question: Question, prompt: str, options: Mapping[str, str]) -> JsonObject:
    effect = instances_pb2.Effect.Name(context.node.effect).removeprefix("EFFECT_").lower()
    # Of what the log has: whoever lacks a key for some of it may ask all the same.
    seen = bindings(context.walk, context.instance)
    shown: JsonObject = {
        "allowed": [decision_word(kind) for kind in _allowed(question)],
        "assignees": list(question.assignees),
        "bindings_digest": hashlib.sha256(json_bytes(seen)).hexdigest(),
        "effects": [{"effect": effect, "node": context.node.id}],
        "evidence": evidence_so_far(context),
        "four_eyes": list(question.four_eyes),
        "instance": str(context.instance),
        "kind": "input",
        "on_timeout": "continue" if question.default else "fail",
        "prompt": prompt,
        "question": question.name,
        "quorum": 1,
        "run": f"runs/{context.run_id}",
        "subject": {},
    }
    if options:
        shown["options"] = [{"id": key, "label": label} if label else {"id": key} for key, label in options.items()]
    else:
        shown["content_schema"] = question.fitting
    return shown | ({"default_option": question.default} if question.default else {})


def _approval(
    context: NodeContext, question: Question, shown: JsonObject, subject: bytes
) -> approval_facts_pb2.ApprovalWait:
    fails, goes_on = decisions_pb2.ON_TIMEOUT_FAIL, decisions_pb2.ON_TIMEOUT_CONTINUE
    asked = frozen_request(context, shown, subject)
    asked.MergeFrom(
        approval_facts_pb2.ApprovalWait(
            allowed=_allowed(question),
            kind=decisions_pb2.APPROVAL_KIND_INPUT,
            options=question.options,
            four_eyes=[decisions_pb2.FourEyes.Value(f"FOUR_EYES_{rule.upper()}") for rule in question.four_eyes],
            assignees=question.assignees,
            quorum=1,
            on_timeout=goes_on if question.default else fails,
            default_option=question.default,
            question=question.name,
            content_schema=json_bytes(shown["content_schema"]) if "content_schema" in shown else b"",
        )
    )
    return asked


def _allowed(question: Question) -> list[decisions_pb2.DecisionKind.ValueType]:
    way = decisions_pb2.DECISION_KIND_SELECTED if question.options else decisions_pb2.DECISION_KIND_PROVIDED
    return [way, decisions_pb2.DECISION_KIND_REJECTED]
