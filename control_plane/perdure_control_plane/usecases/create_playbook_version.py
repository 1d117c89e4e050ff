"""Stores a playbook version as a draft."""

import hashlib

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.parts import part_plans
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import (
    FieldFault,
    PlaybookInvalid,
    VersionExists,
)
from perdure_control_plane.domain.ids import PlaybookId
from perdure_control_plane.domain.playbook import PlaybookVersion, Publication
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition
from perdure_control_plane.usecases.validate_playbook import validate_playbook


async def create_playbook_version(store: Store, caller: Caller, text: bytes, request_id: str) -> PlaybookVersion:
    """Stores the version that a manifest describes, or returns it where it is stored with the same digest.

    Raises PlaybookInvalid, VersionExists, RequestIdReused.
    """
    reviewed = await validate_playbook(store, text)
    if reviewed.manifest is None or reviewed.plan is None:
        raise PlaybookInvalid(
            tuple(FieldFault(error.path, f"{error.code}: {error.reason}") for error in reviewed.errors)
        )
    manifest, playbook_id = reviewed.manifest, PlaybookId(reviewed.manifest.playbook_id)
    plan, parts = reviewed.plan.SerializeToString(deterministic=True), part_plans(reviewed.plan)

    def body(tx: Transaction) -> PlaybookVersion:
        version = PlaybookVersion(
            playbook_id=playbook_id,
            version=manifest.version,
            digest=reviewed.digest,
            plan_digest=hashlib.sha256(plan).digest(),
            title=manifest.title,
            objective=manifest.objective,
            publication=Publication.DRAFT,
            author=caller.principal,
            created_at=tx.now,
            updated_at=tx.now,
            warnings=reviewed.warning_codes,
            document=text,
        )
        is_repetition(tx, caller, request_id, "CreatePlaybookVersion", version.name, reviewed.digest)
        stored = tx.playbooks.find_version(playbook_id, manifest.version)
        if stored is None:
            tx.playbooks.add(version, plan, parts)
            details = {AuditDetail.DIGEST: version.digest, AuditDetail.PLAN_DIGEST: version.plan_digest.hex()}
            tx.audit.record(Act(AuditType.PLAYBOOK_CREATED, caller, version.name, request_id, details))
            return version
        if stored.digest != reviewed.digest:
            raise VersionExists(stored.name, stored.digest, reviewed.digest)
        return stored

    return await store.write(body)
