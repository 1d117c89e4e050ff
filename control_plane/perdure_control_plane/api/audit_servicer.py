"""AuditService."""

from collections.abc import AsyncIterator
from typing import Any

from perdure.audit.chain import SealedEvent
from perdure.v1 import audit_pb2, audit_pb2_grpc
from perdure_control_plane.api import requests
from perdure_control_plane.api.audit_requests import audit_filter
from perdure_control_plane.api.messages import audit as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.usecases.export_audit import export_audit
from perdure_control_plane.usecases.ports import Store


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Shows audit events, and the chain that they are in."""

    def __init__(self, store: Store, pages: Pages, public_key: bytes) -> None:
        self._store = store
        self._pages = pages
        self._public_key = public_key

    async def ListAuditEvents(
        self, request: audit_pb2.ListAuditEventsRequest, context: Any
    ) -> audit_pb2.ListAuditEventsResponse:
        """Lists audit events."""
        size, before = self._pages.size(request.page_size), self._pages.position(request)
        wanted = audit_filter(request)
        found = await self._store.read(lambda tx: tx.audit.page(wanted, before, size))
        listed, token = self._pages.page(request, found, size, _place, messages.event)
        return audit_pb2.ListAuditEventsResponse(events=listed, next_page_token=token)

    async def ExportAuditEvents(
        self, request: audit_pb2.ExportAuditEventsRequest, context: Any
    ) -> AsyncIterator[audit_pb2.ExportAuditEventsResponse]:
        """Streams the chain."""
        after = requests.sequence(request.after_position, "after_position")
        async for piece in export_audit(self._store, after):
            yield messages.piece(piece, self._public_key)

    async def GetAuditHead(self, request: audit_pb2.GetAuditHeadRequest, context: Any) -> audit_pb2.AuditHead:
        """Says how far the chain is."""
        return messages.head(await self._store.read(lambda tx: tx.chain.head()), self._public_key)


def _place(sealed: SealedEvent) -> list[int | str]:
    return [sealed.event.recorded_at, sealed.event.event_id]
