"""CredentialService."""

from collections.abc import Callable, Sequence
from typing import Any

from perdure.v1 import credentials_pb2, credentials_pb2_grpc
from perdure_control_plane.api.messages import credentials as messages
from perdure_control_plane.domain.credential import ServerCredential
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.take_inventory import take_inventory


class CredentialServicer(credentials_pb2_grpc.CredentialServiceServicer):
    """Says which secrets there are."""

    def __init__(self, store: Store, credentials: Callable[[], Sequence[ServerCredential]]) -> None:
        """`credentials` gives those that the server has now."""
        self._store = store
        self._credentials = credentials

    async def GetCredentialInventory(
        self, request: credentials_pb2.GetCredentialInventoryRequest, context: Any
    ) -> credentials_pb2.CredentialInventory:
        """Takes the inventory."""
        return messages.inventory(await take_inventory(self._store, self._credentials()))
