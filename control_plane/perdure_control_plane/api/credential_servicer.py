"""CredentialService."""

from collections.abc import Sequence
from typing import Any

from perdure.v1 import credentials_pb2, credentials_pb2_grpc
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.credential import Inventory, ServerCredential
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.take_inventory import take_inventory


class CredentialServicer(credentials_pb2_grpc.CredentialServiceServicer):
    """Says which secrets there are."""

    def __init__(self, store: Store, credentials: Sequence[ServerCredential]) -> None:
        self._store = store
        self._credentials = credentials

    async def GetCredentialInventory(
        self, request: credentials_pb2.GetCredentialInventoryRequest, context: Any
    ) -> credentials_pb2.CredentialInventory:
        """Takes the inventory."""
        return _message(await take_inventory(self._store, self._credentials))


def _message(inventory: Inventory) -> credentials_pb2.CredentialInventory:
    keys = inventory.keys
    message = credentials_pb2.CredentialInventory(
        caller_keys=credentials_pb2.CallerKeyCounts(
            live=keys.live,
            expired=keys.expired,
            revoked=keys.revoked,
            oldest_time=timestamp(keys.oldest_at),
            next_expire_time=timestamp(keys.next_expiry_at),
        )
    )
    for one in inventory.server:
        message.server_credentials.add(
            purpose=credentials_pb2.ServerCredential.Purpose.Value(f"PURPOSE_{one.purpose}"),
            key_id=one.key_id,
            present=one.is_present,
            current=one.is_current,
            write_time=timestamp(one.written_at),
        )
    for found in inventory.providers:
        message.providers.add(
            provider=found.provider, executors=found.executors, executors_without=found.executors_without
        )
    return message
