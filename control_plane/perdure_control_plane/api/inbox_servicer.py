"""InboxService."""

from typing import Any

from perdure.v1 import run_inbox_pb2, run_inbox_pb2_grpc, runs_pb2
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import inbox as messages
from perdure_control_plane.api.messages import runs
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.readings.run_details import run_details
from perdure_control_plane.usecases.signal_run import signal_run


class InboxServicer(run_inbox_pb2_grpc.InboxServiceServicer):
    """Sends signals to runs, and shows what has arrived for them."""

    def __init__(self, store: Store, limits: Limits, pages: Pages) -> None:
        self._store = store
        self._limits = limits
        self._pages = pages

    async def SignalRun(self, request: run_inbox_pb2.SignalRunRequest, context: Any) -> runs_pb2.Run:
        """Sends a signal."""
        run = await signal_run(self._store, self._limits, caller(), requests.signalling(request))
        details = await self._store.read(lambda tx: run_details(tx, [run]))
        return runs.run(run, *details[run.run_id])

    async def ListInbox(self, request: run_inbox_pb2.ListInboxRequest, context: Any) -> run_inbox_pb2.ListInboxResponse:
        """Lists what has arrived."""
        run_id, size = names.run_id(request.name), self._pages.size(request.page_size)
        after = self._pages.position(request) or 0
        await self._store.read(lambda tx: tx.runs.get(run_id))
        found = await self._store.read(lambda tx: tx.inbox.facts(run_id, after, size))
        listed, token = self._pages.page(request, found, size, lambda fact: fact.recorded.sequence, messages.fact)
        return run_inbox_pb2.ListInboxResponse(facts=listed, next_page_token=token)
