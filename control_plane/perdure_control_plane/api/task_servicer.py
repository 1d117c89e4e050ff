"""TaskService."""

from collections.abc import AsyncIterator
from typing import Any

from perdure.v1 import tasks_pb2, tasks_pb2_grpc
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.messages import tasks as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.read_logs import task_output


class TaskServicer(tasks_pb2_grpc.TaskServiceServicer):
    """Shows tasks."""

    def __init__(self, store: Store, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    async def GetTask(self, request: tasks_pb2.GetTaskRequest, context: Any) -> tasks_pb2.Task:
        """Shows a task."""
        session_id, task_id = names.task_id(request.name)
        return messages.task(await self._store.read(lambda tx: tx.tasks.get(session_id, task_id)))

    async def ListTasks(self, request: tasks_pb2.ListTasksRequest, context: Any) -> tasks_pb2.ListTasksResponse:
        """Lists the tasks of a session."""
        size, before = self._pages.size(request.page_size), self._pages.position(request)
        session_id = names.session_id(request.parent, "parent")
        run_id = names.run_id(request.run, "run") if request.run else None
        await self._store.read(lambda tx: tx.sessions.get(session_id))
        found = await self._store.read(lambda tx: tx.tasks.page(session_id, run_id, before, size))
        listed, token = self._pages.page(
            request, found, size, lambda task: [task.started_at, task.task_id], messages.task
        )
        return tasks_pb2.ListTasksResponse(tasks=listed, next_page_token=token)

    async def ReadTaskOutput(
        self, request: tasks_pb2.ReadTaskOutputRequest, context: Any
    ) -> AsyncIterator[tasks_pb2.TaskOutputPiece]:
        """Streams what a task has printed."""
        session_id, task_id = names.task_id(request.name)
        after = requests.sequence(request.after_sequence, "after_sequence")
        async for recorded in task_output(self._store, session_id, task_id, after):
            yield messages.output_piece(recorded)
