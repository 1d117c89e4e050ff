"""Takes a playbook version out of use for good."""

from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    DigestMismatch,
    PublicationForbids,
    field_invalid,
)
from perdure_control_plane.domain.ids import PlaybookId
from perdure_control_plane.domain.playbook import (
    Evidence,
    PlaybookVersion,
    Publication,
    PublicationChange,
)
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.publish_playbook_version import check_resolves
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Revoking:
    """What is to be revoked, and why."""

    playbook_id: PlaybookId
    version: str
    digest: str
    reason: str
    evidence: tuple[Evidence, ...]
    request_id: str


async def revoke_playbook_version(store: Store, caller: Caller, asked: Revoking) -> PlaybookVersion:
    """Revokes a version; flows that have started from it go on.

    Raises FieldInvalid, NotFound, DigestMismatch, PublicationForbids, EvidenceUnresolved, RequestIdReused.
    """
    if not asked.reason.strip():
        raise field_invalid("reason", "is required; it is kept with the version")

    def body(tx: Transaction) -> PlaybookVersion:
        stored = tx.playbooks.get_version(asked.playbook_id, asked.version)
        if stored.digest != asked.digest:
            raise DigestMismatch(stored.name, stored.digest)
        content = (asked.digest, asked.reason, tuple((e.kind, e.id, e.description) for e in asked.evidence))
        if not is_repetition(tx, caller, asked.request_id, "RevokePlaybookVersion", stored.name, *content):
            if stored.publication is Publication.REVOKED:
                raise PublicationForbids(stored.name, stored.publication, "there is nothing left to revoke")
            for reference in asked.evidence:
                check_resolves(tx, reference)
            change = PublicationChange(
                previous=stored.publication,
                current=Publication.REVOKED,
                evidence=asked.evidence,
                reason=asked.reason,
                actor=caller.principal,
                changed_at=tx.now,
            )
            tx.playbooks.change_publication(stored, change)
            details = {AuditDetail.DIGEST: stored.digest, **of_reason(asked.reason)}
            tx.audit.record(Act(AuditType.PLAYBOOK_REVOKED, caller, stored.name, asked.request_id, details))
        return tx.playbooks.get_version(asked.playbook_id, asked.version)

    return await store.write(body)
