"""Makes a playbook version startable."""

from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.plans import every_node
from perdure.v1 import plans_pb2
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    DigestMismatch,
    EvidenceUnresolved,
    NotFound,
    field_invalid,
)
from perdure_control_plane.domain.ids import (
    ApprovalId,
    FlowId,
    PlaybookId,
    RunId,
    TaskId,
)
from perdure_control_plane.domain.playbook import (
    RESOLVED_EVIDENCE,
    STARTABLE,
    Evidence,
    PlaybookVersion,
    Publication,
    PublicationChange,
    check_publishable,
    check_startable,
)
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Publishing:
    """What is to be published, as what, and what supports it."""

    playbook_id: PlaybookId
    version: str
    digest: str
    publication: Publication
    evidence: tuple[Evidence, ...]
    request_id: str


async def publish_playbook_version(store: Store, caller: Caller, asked: Publishing) -> PlaybookVersion:
    """Publishes a version with evidence. Publishing it as active makes the former active one verified.

    Raises FieldInvalid, NotFound, DigestMismatch, PublicationForbids, EvidenceUnresolved, RequestIdReused.
    """
    if asked.publication not in STARTABLE:
        raise field_invalid("publication", "is one of VERIFIED, CANARY and ACTIVE; REVOKED is reached by revoking")
    if not asked.evidence:
        raise field_invalid("evidence", "at least one reference is required: kind, id and, if you like, a description")

    def body(tx: Transaction) -> PlaybookVersion:
        version = tx.playbooks.get_version(asked.playbook_id, asked.version)
        if version.digest != asked.digest:
            raise DigestMismatch(version.name, version.digest)
        content = (asked.digest, asked.publication.value, tuple((e.kind, e.id, e.description) for e in asked.evidence))
        if not is_repetition(tx, caller, asked.request_id, "PublishPlaybookVersion", version.name, *content):
            check_publishable(version)
            _check_children(tx, version)
            for evidence in asked.evidence:
                check_resolves(tx, evidence)
            _publish(tx, caller, version, asked)
        return tx.playbooks.get_version(asked.playbook_id, asked.version)

    return await store.write(body)


def _check_children(tx: Transaction, version: PlaybookVersion) -> None:
    """Raises PublicationForbids where a child that it starts may not be started."""
    plan = plans_pb2.Plan.FromString(tx.playbooks.plan(version.plan_digest))
    for node in every_node(plan):
        if node.HasField("playbook"):
            check_startable(tx.playbooks.release(PlaybookId(node.playbook.playbook_id), node.playbook.version))


def check_resolves(tx: Transaction, evidence: Evidence) -> None:
    """Raises EvidenceUnresolved where evidence of a kind that is kept here names nothing."""
    if evidence.kind in RESOLVED_EVIDENCE and not _resolves(tx, evidence):
        raise EvidenceUnresolved(evidence.kind, evidence.id)


def _resolves(tx: Transaction, evidence: Evidence) -> bool:
    match evidence.kind:
        case "flow":
            return tx.flows.find(FlowId(evidence.id.removeprefix("flows/"))) is not None
        case "run":
            return tx.runs.find(RunId(evidence.id.removeprefix("runs/"))) is not None
        case "task":
            return tx.tasks.find(TaskId(evidence.id.rpartition("/")[2])) is not None
        case _:
            try:
                tx.approvals.get(ApprovalId(evidence.id.removeprefix("approvals/")))
            except NotFound:
                return False
            return True


def _publish(tx: Transaction, caller: Caller, version: PlaybookVersion, asked: Publishing) -> None:
    active = tx.playbooks.get(asked.playbook_id).active
    details = {AuditDetail.DIGEST: version.digest, AuditDetail.PUBLICATION: asked.publication.value}
    if asked.publication is Publication.ACTIVE and active is not None and active.version != version.version:
        reason = f"version {version.version} is active now"
        details[AuditDetail.SUPERSEDED] = active.name
        tx.playbooks.change_publication(active, _change(tx, caller, active, Publication.VERIFIED, (), reason))
    tx.playbooks.change_publication(version, _change(tx, caller, version, asked.publication, asked.evidence, ""))
    tx.audit.record(Act(AuditType.PLAYBOOK_PUBLISHED, caller, version.name, asked.request_id, details))


def _change(
    tx: Transaction,
    caller: Caller,
    version: PlaybookVersion,
    to: Publication,
    evidence: tuple[Evidence, ...],
    reason: str,
) -> PublicationChange:
    return PublicationChange(version.publication, to, evidence, reason, caller.principal, tx.now)
