"""ServerService."""

from typing import Any

from perdure.v1 import server_pb2, server_pb2_grpc
from perdure_control_plane.api.messages import server as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.identity import ServerIdentity
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.ports import Store, Transaction

CAPABILITIES = (
    "agentic",
    "deterministic",
    "function",
    "approval",
    "wait",
    "playbook",
    "map",
    "part",
    "inject_into",
    "fan_out",
    "choice",
    "watch",
    "takeover",
    "schedules",
    "concurrency",
    "keys",
)


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """Says what this server is, and who works for it."""

    def __init__(self, store: Store, limits: Limits, pages: Pages, identity: ServerIdentity, *, is_open: bool) -> None:
        self._store = store
        self._limits = limits
        self._pages = pages
        self._identity = identity
        self._authentication = server_pb2.AUTHENTICATION_OPEN if is_open else server_pb2.AUTHENTICATION_REQUIRED

    async def GetServerInfo(self, request: server_pb2.GetServerInfoRequest, context: Any) -> server_pb2.ServerInfo:
        """Says what this server is."""

        def facts(tx: Transaction) -> tuple[int, int, bool]:
            return tx.runs.count_queued(), tx.approvals.count_open(), tx.copy.is_replicated()

        queued, pending, replicated = await self._store.read(facts)
        return server_pb2.ServerInfo(
            version=self._identity.version,
            capabilities=CAPABILITIES,
            limits=messages.limits(self._limits),
            durability=server_pb2.DURABILITY_REPLICATED if replicated else server_pb2.DURABILITY_LOCAL,
            generation=self._identity.generation,
            authentication=self._authentication,
            store=self._identity.store,
            queued_runs=queued,
            pending_approvals=pending,
            server_id=self._identity.server_id,
        )

    async def ListExecutors(
        self, request: server_pb2.ListExecutorsRequest, context: Any
    ) -> server_pb2.ListExecutorsResponse:
        """Lists executors."""
        size, after = self._pages.size(request.page_size), tuple(self._pages.position(request) or ("", ""))
        found = await self._store.read(lambda tx: tx.executors.page(after, tx.now, size))
        listed, token = self._pages.page(
            request, found, size, lambda e: [e.executor.executor_id, e.executor.incarnation], messages.executor
        )
        return server_pb2.ListExecutorsResponse(executors=listed, next_page_token=token)
