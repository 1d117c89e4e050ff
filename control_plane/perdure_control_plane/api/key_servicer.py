"""KeyService and IdentityService."""

from typing import Any

from perdure.v1 import identities_pb2, identities_pb2_grpc, keys_pb2, keys_pb2_grpc
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.key_requests import creating, rotating
from perdure_control_plane.api.messages import keys as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.api_key import KeyTexts
from perdure_control_plane.usecases.create_key import create_key
from perdure_control_plane.usecases.known_keys import KnownKeys
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.revoke_key import revoke_key
from perdure_control_plane.usecases.rotate_key import rotate_key


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """Keeps the keys of callers."""

    def __init__(self, store: Store, texts: KeyTexts, known: KnownKeys, pages: Pages) -> None:
        self._store = store
        self._texts = texts
        self._known = known
        self._pages = pages

    async def CreateKey(self, request: keys_pb2.CreateKeyRequest, context: Any) -> keys_pb2.NewKey:
        """Makes a key."""
        made, text = await create_key(self._store, self._texts, caller(), creating(request))
        return keys_pb2.NewKey(key=messages.key(made, await self._now()), text=text)

    async def GetKey(self, request: keys_pb2.GetKeyRequest, context: Any) -> keys_pb2.Key:
        """Shows a key."""
        name = names.key(request.name)
        found, now = await self._store.read(lambda tx: (tx.keys.get(name), tx.now))
        return messages.key(found, now)

    async def ListKeys(self, request: keys_pb2.ListKeysRequest, context: Any) -> keys_pb2.ListKeysResponse:
        """Lists keys."""
        size, after = self._pages.size(request.page_size), tuple(self._pages.position(request) or ("", 0, ""))
        revoked = request.show_revoked
        found, now = await self._store.read(lambda tx: (tx.keys.page(after, size, revoked=revoked), tx.now))
        listed, token = self._pages.page(
            request,
            found,
            size,
            lambda key: [key.key_name, key.created_at, key.key_id],
            lambda key: messages.key(key, now),
        )
        return keys_pb2.ListKeysResponse(keys=listed, next_page_token=token)

    async def RotateKey(self, request: keys_pb2.RotateKeyRequest, context: Any) -> keys_pb2.NewKey:
        """Gives a key a new text."""
        rotated, text = await rotate_key(self._store, self._texts, caller(), rotating(request))
        self._known.forget(rotated.key_id)
        return keys_pb2.NewKey(key=messages.key(rotated, await self._now()), text=text)

    async def RevokeKey(self, request: keys_pb2.RevokeKeyRequest, context: Any) -> keys_pb2.Key:
        """Makes a key good for nothing."""
        name, request_id = names.key(request.name), requests.request_id(request.request_id)
        revoked = await revoke_key(self._store, caller(), name, request_id)
        self._known.forget(revoked.key_id)
        return messages.key(revoked, revoked.revoked_at)

    async def _now(self) -> int:
        return await self._store.read(lambda tx: tx.now)


class IdentityServicer(identities_pb2_grpc.IdentityServiceServicer):
    """Tells callers who they are."""

    async def WhoAmI(self, request: identities_pb2.WhoAmIRequest, context: Any) -> identities_pb2.Identity:
        """Says who calls."""
        return messages.identity(caller())
