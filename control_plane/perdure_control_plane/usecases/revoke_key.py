"""Makes a key good for nothing."""

from dataclasses import replace

from perdure.audit.events import AuditType
from perdure_control_plane.domain.api_key import ApiKey
from perdure_control_plane.domain.audit import Act, of_key
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def revoke_key(store: Store, caller: Caller, key_name: str, request_id: str) -> ApiKey:
    """Revokes the key of that name; one that is revoked already stays as it is. Raises NotFound, RequestIdReused."""

    def body(tx: Transaction) -> ApiKey:
        before = tx.keys.get(key_name)
        if is_repetition(tx, caller, request_id, "RevokeKey", before.name) or before.revoked_at:
            return before
        after = replace(before, revoked_at=tx.now, revoked_by=caller.principal)
        tx.keys.save(after)
        tx.audit.record(Act(AuditType.KEY_REVOKED, caller, after.name, request_id, of_key(after)))
        return after

    return await store.write(body)
