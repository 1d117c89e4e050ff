"""Sets what the environment demands of playbooks."""

from dataclasses import dataclass, replace

from perdure.audit.events import AuditDetail, AuditType
from perdure_control_plane.domain.audit import Act, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.policy import Policy
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class PolicyUpdate:
    """What is to be set; None stays as it is."""

    block_warnings: bool | None
    blocked_warnings: tuple[str, ...] | None
    require_review: bool | None
    require_approval: bool | None
    reason: str
    request_id: str

    def of(self, before: Policy) -> Policy:
        """The policy with what is set."""
        return replace(
            before,
            block_warnings=before.block_warnings if self.block_warnings is None else self.block_warnings,
            blocked_warnings=before.blocked_warnings if self.blocked_warnings is None else self.blocked_warnings,
            require_review=before.require_review if self.require_review is None else self.require_review,
            require_approval=before.require_approval if self.require_approval is None else self.require_approval,
        )


async def update_policy(store: Store, caller: Caller, asked: PolicyUpdate) -> Policy:
    """Sets the demands and returns the policy as it is then; one that is so already is left. Raises RequestIdReused."""

    def body(tx: Transaction) -> Policy:
        before = tx.policies.lock()
        after = asked.of(before)
        content = (
            asked.block_warnings,
            asked.blocked_warnings,
            asked.require_review,
            asked.require_approval,
            asked.reason,
        )
        if is_repetition(tx, caller, asked.request_id, "UpdatePolicy", "policy", *content) or after == before:
            return before
        after = replace(after, updated_at=tx.now, updated_by=caller.principal, reason=asked.reason)
        tx.policies.save(after)
        details = {AuditDetail.POLICY: after.words, **of_reason(asked.reason)}
        tx.audit.record(Act(AuditType.POLICY_CHANGED, caller, "policy", asked.request_id, details))
        return after

    return await store.write(body)
