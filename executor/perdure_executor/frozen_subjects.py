"""What people decide about: frozen when it is asked, and looked at again before the first effect behind it."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

import rfc8785

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.runlog.gates import gates_before_first_effect
from perdure.runlog.intents import Start
from perdure.runlog.json_objects import JsonObject
from perdure.runlog.walk import Walk
from perdure.v1 import approval_facts_pb2, instances_pb2, plans_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_executor.expressions import render, render_text
from perdure_executor.node_context import Equipment, line
from perdure_executor.promised_files import NotAsPromised, digests
from perdure_executor.results import CannotPrepare, Failed
from perdure_executor.sealing import opened_bindings

ARTIFACT_BYTES: Final = 64 * 1024 * 1024
"""Most bytes of all artifacts of an approval together: they are read while others wait."""


def subject_of(spec: plans_pb2.ApprovalNode, seen: JsonObject) -> JsonObject:
    """What an approval's document declares that it is about."""
    rendered: JsonObject = render(json.loads(spec.subject), seen) if spec.subject else {}
    return rendered


def artifacts_of(spec: plans_pb2.ApprovalNode, seen: JsonObject, workspace: str) -> list[JsonObject]:
    """Its files, as they are. Raises NotAsPromised where one is not there, or they are too large."""
    paths = [render_text(path, seen) for path in spec.artifacts]
    found = digests(workspace, paths, ARTIFACT_BYTES)
    return [{"path": one.path, "sha256": one.digest.hex(), "bytes": one.size} for one in found]


def voided(walk: Walk, start: Start, equipment: Equipment) -> RunEvent | Failed | None:
    """That what people let pass is not what it was any more, where that is so and this would be the first effect behind.

    A failure where it is encrypted and there is no key: then nobody here can tell, and the effect does not begin.
    """
    codec = equipment.codec
    for gate in gates_before_first_effect(walk, start):
        try:
            frozen = _frozen(walk.nodes[gate].output, codec)
            present = _present(walk, gate, equipment)
        except CannotDecrypt as error:
            message = f"what was decided at {gate} cannot be opened: {error}"
            return Failed(instances_pb2.FAILURE_CAUSE_CANNOT_DECRYPT, message, begun=False)
        if present != frozen:
            return _found_void(walk, gate, frozen, present, codec)
    return None


def _frozen(output: bytes, codec: Codec) -> JsonObject:
    told = json.loads(output)
    return {"artifacts": told.get("artifacts", []), "subject": codec.opened(told["subject"])}


def _present(walk: Walk, gate: str, equipment: Equipment) -> JsonObject | None:
    """The same as it is now, as it was asked about; None where it cannot be read. Raises CannotDecrypt."""
    spec, bound = walk.plan.nodes[gate].approval, opened_bindings(walk, walk.instance(gate), equipment.codec)
    try:
        artifacts = artifacts_of(spec, bound, equipment.workspace)
        subject: Any = equipment.secrets.redaction.value(subject_of(spec, bound))
        present: JsonObject = json.loads(rfc8785.dumps({"artifacts": artifacts, "subject": subject}))
    except (NotAsPromised, CannotPrepare, rfc8785.CanonicalizationError, UnicodeEncodeError):
        return None
    return present


def _found_void(walk: Walk, gate: str, frozen: JsonObject, present: JsonObject | None, codec: Codec) -> RunEvent:
    void = approval_facts_pb2.ApprovalVoided(
        instance=walk.instance(gate).message(),
        frozen_digest=_digest(frozen, codec),
        present_digest=b"" if present is None else _digest(present, codec),
        message=line(f"not as it was decided any more: {', '.join(_differing(frozen, present or {}))}"),
    )
    return RunEvent(approval_voided=void)


def _digest(found: JsonObject, codec: Codec) -> bytes:
    """Of what the log has, or would have: a digest of what is encrypted there would tell whoever can guess it."""
    return hashlib.sha256(rfc8785.dumps(found | {"subject": codec.sealed_fields(found["subject"])})).digest()


def _differing(frozen: JsonObject, present: JsonObject) -> Sequence[str]:
    """Names of what differs: artifacts by path, and fields of the subject."""
    was = {one["path"]: one for one in frozen["artifacts"]} | frozen["subject"]
    now = {one["path"]: one for one in present.get("artifacts", [])} | present.get("subject", {})
    return sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
