"""PolicyService."""

from typing import Any

from perdure.v1 import policies_pb2, policies_pb2_grpc
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.api.requests import reason, request_id
from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.policy import Policy
from perdure_control_plane.manifests.diagnostics import WARNINGS
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.update_policy import PolicyUpdate, update_policy


class PolicyServicer(policies_pb2_grpc.PolicyServiceServicer):
    """Shows and sets what the environment demands of playbooks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def GetPolicy(self, request: policies_pb2.GetPolicyRequest, context: Any) -> policies_pb2.Policy:
        """Shows the policy."""
        return _message(await self._store.read(lambda tx: tx.policies.get()))

    async def UpdatePolicy(self, request: policies_pb2.UpdatePolicyRequest, context: Any) -> policies_pb2.Policy:
        """Sets some of the policy."""
        return _message(await update_policy(self._store, caller(), _update(request)))


def _update(request: policies_pb2.UpdatePolicyRequest) -> PolicyUpdate:
    """What is to be set. Raises FieldInvalid."""
    asked = PolicyUpdate(
        block_warnings=request.block_warnings if request.HasField("block_warnings") else None,
        blocked_warnings=_codes(request.blocked_warnings) if request.HasField("blocked_warnings") else None,
        require_review=request.require_review if request.HasField("require_review") else None,
        require_approval=request.require_approval if request.HasField("require_approval") else None,
        reason=reason(request.reason),
        request_id=request_id(request.request_id),
    )
    if {asked.block_warnings, asked.blocked_warnings, asked.require_review, asked.require_approval} == {None}:
        demands = "block_warnings, blocked_warnings, require_review, require_approval"
        raise field_invalid("block_warnings", f"or another demand is required: name one of {demands}")
    return asked


def _codes(given: policies_pb2.WarningCodes) -> tuple[str, ...]:
    for index, code in enumerate(given.codes):
        if code not in WARNINGS:
            raise field_invalid(f"blocked_warnings.codes[{index}]", f"is one of {', '.join(sorted(WARNINGS))}")
    return tuple(sorted(set(given.codes)))


def _message(policy: Policy) -> policies_pb2.Policy:
    return policies_pb2.Policy(
        block_warnings=policy.block_warnings,
        blocked_warnings=policy.blocked_warnings,
        require_review=policy.require_review,
        require_approval=policy.require_approval,
        update_time=timestamp(policy.updated_at),
        updater=policy.updated_by,
        update_reason=policy.reason,
    )
