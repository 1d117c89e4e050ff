"""The edge at which what an executor reads is opened, and what it writes is encrypted, where it has the keys for that.

The walk itself holds what the log has: fields of outputs stay fields, so that whatever follows from a log follows from it
without a key. What is opened is for the work of one node, and for its expressions.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import rfc8785

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.runlog.bindings import Reading, bindings
from perdure.runlog.instances import Instance
from perdure.runlog.json_objects import JsonObject, json_bytes
from perdure.runlog.shards import ITEMS, LEFT
from perdure.runlog.walk import Walk
from perdure.secrets.encrypted import MARK
from perdure.secrets.paths import unreferenced
from perdure.v1 import instances_pb2
from perdure_executor.node_context import Ask, Mapped, NodeContext, Prepared, Spawn, Work
from perdure_executor.results import CannotPrepare, Failed
from perdure_executor.untrusted_schema import UntrustedSchema

TELLING: Final = frozenset({
    instances_pb2.FAILURE_CAUSE_AGENT,
    instances_pb2.FAILURE_CAUSE_EXPRESSION,
    instances_pb2.FAILURE_CAUSE_FUNCTION_RAISED,
})  # fmt: skip
"""Causes whose messages may repeat what the node was given; all others are made of the plan, and of sizes."""

MESSAGE_BYTES: Final = 500
"""Of a message before it is encrypted: what comes of that still fits into a control event."""

PROMPT_BYTES: Final = 2800
"""The same of a question."""


def seen(walk: Walk, where: Instance, codec: Codec, *, behind: bool = False) -> JsonObject:
    """What expressions of a node may use, opened, but for the inputs that hold secrets. Raises CannotPrepare."""
    try:
        return opened_bindings(walk, where, codec, behind=behind)
    except CannotDecrypt as error:
        raise _cannot(error) from error


def opened_bindings(walk: Walk, where: Instance, codec: Codec, *, behind: bool = False) -> JsonObject:
    """The same. Raises CannotDecrypt."""
    closed = _closed(walk)
    reading = Reading(lambda content: codec.read(content, closed), codec.read)
    found = bindings(walk, where, behind=behind, reading=reading)
    if walk.content:
        found["request"] = {"content": codec.open_text(walk.content)}
    if error := found.get("last_error"):
        found["last_error"] = {**error, "message": codec.open_text(error["message"])}
    return found


def check_given(context: NodeContext) -> None:
    """Checks an input in which something is encrypted, as the server would have done. Raises CannotPrepare."""
    plan, given = context.walk.plan.message, context.walk.input
    if MARK not in given:
        return
    closed = _closed(context.walk)
    try:
        value = context.equipment.codec.read(given, closed)
    except CannotDecrypt as error:
        raise _cannot(error) from error
    for place, fault in unreferenced(value, closed):
        message = (
            f"the run's input is not what its playbook takes: {'.'.join(place)} {fault}; encrypt that field by itself"
        )
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_INPUT_INVALID, message)
    fault = _check(plan.input_schema).fault(value) if plan.input_schema else ""
    if fault:
        message = f"the run's input is not what its playbook takes: {fault}"
        raise CannotPrepare(instances_pb2.FAILURE_CAUSE_INPUT_INVALID, message)


def sealed(context: NodeContext, prepared: Prepared) -> Prepared:
    """What a node is ready to do, with all of it that goes into the log encrypted."""
    codec = context.equipment.codec
    if not codec.encrypts:
        return prepared
    match prepared:
        case Work():
            if prepared.arguments is not None:
                prepared.arguments = codec.sealed_fields(prepared.arguments)
            return prepared
        case Spawn():
            arguments = codec.sealed_fields(prepared.arguments, plain=(ITEMS, LEFT))
            return _fitting(context, len(json_bytes(arguments))) or Spawn(arguments)
        case Mapped():
            items = json_bytes([codec.sealed(item) for item in json.loads(prepared.items)])
            return _fitting(context, len(items)) or replace(prepared, items=items)
        case Ask():
            return _sealed_question(context, prepared) if prepared.subject else prepared
        case Failed():
            return sealed_failure(prepared, codec)


def sealed_failure(failed: Failed, codec: Codec) -> Failed:
    """A failure whose message does not tell what the node was given."""
    return replace(failed, message=sealed_message(failed.cause, failed.message, codec))


def sealed_message(cause: instances_pb2.FailureCause.ValueType, message: str, codec: Codec) -> str:
    """A message of a failure of this cause, as it goes into the log."""
    return str(codec.sealed(_cut(message, MESSAGE_BYTES))) if cause in TELLING else message


def _sealed_question(context: NodeContext, asked: Ask) -> Prepared:
    """A question that only those with a key can read; what it allows, and what follows from it, everybody can."""
    codec, shown = context.equipment.codec, json.loads(asked.subject)
    # The digest of what the node saw is of what the log has, as all digests are.
    shown["bindings_digest"] = hashlib.sha256(json_bytes(bindings(context.walk, context.instance))).hexdigest()
    prompt = shown["prompt"]
    shown["prompt"], shown["subject"] = codec.sealed(prompt), codec.sealed_fields(shown["subject"])
    for option in shown.get("options", ()):
        option.update(codec.sealed_fields(option, plain=("id",)))
    subject = rfc8785.dumps(shown)
    if too_large := _fitting(context, len(subject)):
        return too_large
    wait = type(asked.wait)()
    wait.CopyFrom(asked.wait)
    wait.approval.subject_digest = hashlib.sha256(subject).digest()
    wait.approval.prompt = str(codec.sealed(_cut(prompt, PROMPT_BYTES)))
    return Ask(subject, wait)


def _fitting(context: NodeContext, size: int) -> Failed | None:
    limit = context.equipment.max_payload_bytes
    if size <= limit:
        return None
    message = f"what it gives has {size} bytes when it is encrypted; the limit is {limit}"
    return Failed(instances_pb2.FAILURE_CAUSE_PAYLOAD_TOO_LARGE, message)


def _closed(walk: Walk) -> list[Sequence[str]]:
    return [one.keys for one in walk.plan.message.sensitive_inputs]


def _cannot(error: CannotDecrypt) -> CannotPrepare:
    return CannotPrepare(instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT, f"what it reads cannot be opened: {error}")


def _cut(text: str, most: int) -> str:
    return text.encode(errors="replace")[:most].decode("utf-8", errors="ignore")


@lru_cache(maxsize=256)
def _check(schema: bytes) -> UntrustedSchema:
    return UntrustedSchema(json.loads(schema))
