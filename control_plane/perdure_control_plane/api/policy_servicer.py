"""PolicyService."""

from typing import Any

from perdure.v1 import policies_pb2, policies_pb2_grpc
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import policies as messages
from perdure_control_plane.api.policy_requests import policy_update
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.update_policy import update_policy


class PolicyServicer(policies_pb2_grpc.PolicyServiceServicer):
    """Shows and sets what the environment demands of playbooks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def GetPolicy(self, request: policies_pb2.GetPolicyRequest, context: Any) -> policies_pb2.Policy:
        """Shows the policy."""
        return messages.policy(await self._store.read(lambda tx: tx.policies.get()))

    async def UpdatePolicy(self, request: policies_pb2.UpdatePolicyRequest, context: Any) -> policies_pb2.Policy:
        """Sets some of the policy."""
        return messages.policy(await update_policy(self._store, caller(), policy_update(request)))
