"""ExecutionService."""

from collections.abc import AsyncIterator
from typing import Any

from perdure.v1 import execution_pb2_grpc
from perdure.v1.execution_pb2 import WorkRequest, WorkResponse
from perdure_control_plane.api.work.desk import Desk
from perdure_control_plane.api.work.session import WorkSession
from perdure_control_plane.domain.errors import ProtocolViolation, ServerDraining


class ExecutionServicer(execution_pb2_grpc.ExecutionServiceServicer):
    """Hands runs to executors and takes their events."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def Work(self, request_iterator: AsyncIterator[WorkRequest], context: Any) -> AsyncIterator[WorkResponse]:
        """Serves an executor's stream."""
        if self._desk.changes.draining:
            raise ServerDraining
        first = await anext(aiter(request_iterator), None)
        if first is None or not first.HasField("hello"):
            raise ProtocolViolation("hello: the first message of a stream holds it")
        session = await WorkSession.open(self._desk, first.hello)
        async for response in session.serve(request_iterator):
            yield response
