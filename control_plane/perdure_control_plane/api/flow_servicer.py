"""FlowService."""

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from perdure.v1 import flows_pb2, flows_pb2_grpc
from perdure.v1.run_events_pb2 import RecordedEvent
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import flows as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.flow import FlowView
from perdure_control_plane.usecases.cancel_flow import cancel_flow
from perdure_control_plane.usecases.hold_flow import pause_flow, resume_flow
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.start_flow import FlowStarter
from perdure_control_plane.usecases.view_flow import get_flow, list_flows
from perdure_control_plane.usecases.watch_runs import Watcher


class FlowServicer(flows_pb2_grpc.FlowServiceServicer):
    """Starts playbooks, holds and stops them, and shows what became of them."""

    def __init__(self, store: Store, starter: FlowStarter, pages: Pages, watcher: Watcher) -> None:
        self._store = store
        self._starter = starter
        self._pages = pages
        self._watcher = watcher

    async def StartFlow(self, request: flows_pb2.StartFlowRequest, context: Any) -> flows_pb2.Flow:
        """Starts a playbook version."""
        return messages.flow(await self._starter.start(caller(), requests.start(request)))

    async def GetFlow(self, request: flows_pb2.GetFlowRequest, context: Any) -> flows_pb2.Flow:
        """Shows a flow."""
        return messages.flow(await get_flow(self._store, names.flow_id(request.name)))

    async def ListFlows(self, request: flows_pb2.ListFlowsRequest, context: Any) -> flows_pb2.ListFlowsResponse:
        """Lists flows."""
        size, before = self._pages.size(request.page_size), self._pages.position(request)
        found = await list_flows(self._store, requests.flow_filter(request), before, size)
        listed, token = self._pages.page(
            request, found, size, lambda view: [view.flow.created_at, view.flow.flow_id], messages.flow
        )
        return flows_pb2.ListFlowsResponse(flows=listed, next_page_token=token)

    async def PauseFlow(self, request: flows_pb2.PauseFlowRequest, context: Any) -> flows_pb2.Flow:
        """Holds a flow."""
        return messages.flow(await pause_flow(self._store, caller(), requests.holding_flow(request)))

    async def ResumeFlow(self, request: flows_pb2.ResumeFlowRequest, context: Any) -> flows_pb2.Flow:
        """Releases what an operator holds of a flow."""
        return messages.flow(await resume_flow(self._store, caller(), requests.holding_flow(request)))

    async def CancelFlow(self, request: flows_pb2.CancelFlowRequest, context: Any) -> flows_pb2.Flow:
        """Cancels a flow."""
        flow_id, request_id = names.flow_id(request.name), requests.request_id(request.request_id)
        reason = requests.reason(request.reason)
        return messages.flow(await cancel_flow(self._store, caller(), flow_id, reason, request_id))

    async def WatchFlow(
        self, request: flows_pb2.WatchFlowRequest, context: Any
    ) -> AsyncIterator[flows_pb2.WatchFlowResponse]:
        """Streams a flow."""
        async for item in self._watcher.flow(names.flow_id(request.name), requests.cursors(request.cursors)):
            match item:
                case FlowView():
                    yield flows_pb2.WatchFlowResponse(flow=messages.flow(item))
                case RecordedEvent():
                    yield flows_pb2.WatchFlowResponse(event=item)
                case None:
                    heartbeat = Timestamp()
                    heartbeat.GetCurrentTime()
                    yield flows_pb2.WatchFlowResponse(heartbeat_time=heartbeat)
