"""The client: one channel, and the services behind it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

import grpc
from grpc_health.v1.health_pb2_grpc import HealthStub

from perdure.addresses import server_address
from perdure.client import watches
from perdure.client.calls import CheckedChannel
from perdure.client.channel import open_channel
from perdure.client.watches import FlowNews, Reconnecting
from perdure.encryption.codec import Codec
from perdure.keys import key_metadata
from perdure.v1.agents_pb2_grpc import AgentServiceStub
from perdure.v1.approvals_pb2 import WatchApprovalsRequest, WatchApprovalsResponse
from perdure.v1.approvals_pb2_grpc import ApprovalServiceStub
from perdure.v1.audit_pb2_grpc import AuditServiceStub
from perdure.v1.credentials_pb2_grpc import CredentialServiceStub
from perdure.v1.flows_pb2 import RunCursor, WatchFlowRequest
from perdure.v1.flows_pb2_grpc import FlowServiceStub
from perdure.v1.identities_pb2_grpc import IdentityServiceStub
from perdure.v1.keys_pb2_grpc import KeyServiceStub
from perdure.v1.playbooks_pb2_grpc import PlaybookServiceStub
from perdure.v1.policies_pb2_grpc import PolicyServiceStub
from perdure.v1.queues_pb2_grpc import QueueServiceStub
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure.v1.run_inbox_pb2_grpc import InboxServiceStub
from perdure.v1.runs_pb2 import WatchRunRequest
from perdure.v1.runs_pb2_grpc import RunServiceStub
from perdure.v1.schedules_pb2_grpc import ScheduleServiceStub
from perdure.v1.server_pb2_grpc import ServerServiceStub
from perdure.v1.sessions_pb2_grpc import SessionServiceStub
from perdure.v1.tasks_pb2_grpc import TaskServiceStub
from perdure.v1.webhooks_pb2_grpc import WebhookServiceStub

DEADLINE: Final = timedelta(seconds=10)
PATIENCE: Final = timedelta(minutes=1)
ATTEMPTS: Final = 5


class Client:
    """A connection to a control plane, for use inside a running event loop, best in an `async with`.

    Its attributes are the generated stubs, one for each service: `await client.flows.GetFlow(GetFlowRequest(...))`;
    `health` is gRPC's own.
    Every call with one answer has a deadline, and is tried again while no server answers; a request that can carry a
    request id is given one, so that a repetition does nothing. Whatever goes wrong is raised as CallFailed.
    With a `codec` that encrypts, what flows are started with, what decisions and signals bring and what operators give as
    output is encrypted before it is sent; what comes back is as it is stored, and `opened_message` opens it.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        deadline: timedelta = DEADLINE,
        patience: timedelta = PATIENCE,
        attempts: int = ATTEMPTS,
        codec: Codec | None = None,
    ) -> None:
        """`address` is HOST:PORT, or what else `server_address` takes; ValueError is raised for anything else.

        `key` is what the server knows the caller by, where it asks; it goes to whoever answers at the address. `deadline`
        is for each unary call that names no `timeout`; `patience` is how long a watch goes on without any server;
        `attempts` (1 to 5) is how often a unary call that no server answered is made.
        """
        asyncio.get_running_loop()  # a channel belongs to the loop it is made in
        self.address: Final = server_address(address)
        self.credentials: Final = credentials
        self._channel = _checked(open_channel(self.address, credentials, attempts), deadline, key, codec)
        self._reconnecting = Reconnecting(patience)
        self.playbooks: Final = PlaybookServiceStub(self._channel)
        self.flows: Final = FlowServiceStub(self._channel)
        self.sessions: Final = SessionServiceStub(self._channel)
        self.runs: Final = RunServiceStub(self._channel)
        self.inbox: Final = InboxServiceStub(self._channel)
        self.approvals: Final = ApprovalServiceStub(self._channel)
        self.tasks: Final = TaskServiceStub(self._channel)
        self.schedules: Final = ScheduleServiceStub(self._channel)
        self.queues: Final = QueueServiceStub(self._channel)
        self.policies: Final = PolicyServiceStub(self._channel)
        self.audit: Final = AuditServiceStub(self._channel)
        self.inventory: Final = CredentialServiceStub(self._channel)
        self.agents: Final = AgentServiceStub(self._channel)
        self.server: Final = ServerServiceStub(self._channel)
        self.keys: Final = KeyServiceStub(self._channel)
        self.identity: Final = IdentityServiceStub(self._channel)
        self.webhooks: Final = WebhookServiceStub(self._channel)
        self.health: Final = HealthStub(self._channel)

    def watch_run(self, name: str, after_sequence: int = 0) -> AsyncIterator[RecordedEvent]:
        """The events of `runs/{run}` after a sequence, each once and in order, until the run has ended.

        Goes on by itself where a connection breaks or a server restarts. Raises CallFailed: the run is not there, or no
        server was for as long as the client's patience lasts.
        """
        request = WatchRunRequest(name=name, after_sequence=after_sequence)
        return watches.watch_run(self.runs.WatchRun, request, self._reconnecting)

    def watch_flow(self, name: str, cursors: dict[str, int] | None = None) -> AsyncIterator[FlowNews]:
        """The events of the runs of `flows/{flow}`, each once, and the Flow whenever its status has changed.

        Ends when the flow is settled, with the Flow as the last item. `cursors` has the last sequence seen of runs
        (`runs/{run}`) known already. Goes on by itself and raises as `watch_run` does.
        """
        seen = [RunCursor(run=run, sequence=sequence) for run, sequence in (cursors or {}).items()]
        request = WatchFlowRequest(name=name, cursors=seen)
        return watches.watch_flow(self.flows.WatchFlow, request, self._reconnecting)

    def watch_approvals(self, request: WatchApprovalsRequest) -> AsyncIterator[WatchApprovalsResponse]:
        """What is open, where the request asks for a snapshot, and then what happens to approvals, in order.

        Does not end by itself. Goes on by itself and raises as `watch_run` does. To go on in another process, give the
        `resume_token` of the last item; RESUME_TOKEN_EXPIRED says that it is too old, and a snapshot is the way out.
        """
        return watches.watch_approvals(self.approvals.WatchApprovals, request, self._reconnecting)

    async def close(self) -> None:
        """Ends every call and the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _checked(channel: grpc.aio.Channel, deadline: timedelta, key: str, codec: Codec | None) -> CheckedChannel:
    return CheckedChannel(channel, deadline, lambda: str(uuid.uuid4()), key_metadata(key), codec)
