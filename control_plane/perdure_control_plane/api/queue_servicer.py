"""QueueService."""

from typing import Any

from perdure.v1 import queues_pb2, queues_pb2_grpc
from perdure_control_plane.api import names
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import queues as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.api.queue_requests import update
from perdure_control_plane.usecases.changes import Changes
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.update_queue import update_queue


class QueueServicer(queues_pb2_grpc.QueueServiceServicer):
    """Shows queues, and sets their limits."""

    def __init__(self, store: Store, pages: Pages, changes: Changes) -> None:
        self._store = store
        self._pages = pages
        self._changes = changes

    async def GetQueue(self, request: queues_pb2.GetQueueRequest, context: Any) -> queues_pb2.Queue:
        """Shows a queue."""
        queue = names.queue(request.name)
        found, now = await self._store.read(lambda tx: (tx.queues.each([queue])[0], tx.now))
        return messages.queue(found, now)

    async def ListQueues(self, request: queues_pb2.ListQueuesRequest, context: Any) -> queues_pb2.ListQueuesResponse:
        """Lists queues."""
        size, after = self._pages.size(request.page_size), self._pages.position(request) or ""
        found, now = await self._store.read(lambda tx: (tx.queues.page(after, size), tx.now))
        listed, token = self._pages.page(
            request, found, size, lambda one: one.limits.queue, lambda one: messages.queue(one, now)
        )
        return queues_pb2.ListQueuesResponse(queues=listed, next_page_token=token)

    async def UpdateQueue(self, request: queues_pb2.UpdateQueueRequest, context: Any) -> queues_pb2.Queue:
        """Sets limits of a queue."""
        updated = await update_queue(self._store, caller(), update(request))
        self._changes.look_again()
        return messages.queue(updated, updated.limits.updated_at)
