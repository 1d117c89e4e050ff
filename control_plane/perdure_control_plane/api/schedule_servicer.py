"""ScheduleService."""

from typing import Any

from perdure.v1 import schedules_pb2, schedules_pb2_grpc
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import schedules as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.api.schedule_requests import new_schedule
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.create_schedule import create_schedule
from perdure_control_plane.usecases.delete_schedule import delete_schedule
from perdure_control_plane.usecases.pause_schedule import pause_schedule
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.resume_schedule import resume_schedule
from perdure_control_plane.usecases.start_flow import FlowStarter
from perdure_control_plane.usecases.trigger_schedule import trigger_schedule


class ScheduleServicer(schedules_pb2_grpc.ScheduleServiceServicer):
    """Keeps schedules."""

    def __init__(self, store: Store, starter: FlowStarter, limits: Limits, pages: Pages) -> None:
        self._store = store
        self._starter = starter
        self._limits = limits
        self._pages = pages

    async def CreateSchedule(
        self, request: schedules_pb2.CreateScheduleRequest, context: Any
    ) -> schedules_pb2.Schedule:
        """Makes a schedule."""
        made = await create_schedule(self._store, self._starter, caller(), new_schedule(request))
        return messages.schedule(made)

    async def GetSchedule(self, request: schedules_pb2.GetScheduleRequest, context: Any) -> schedules_pb2.Schedule:
        """Shows a schedule."""
        schedule_id = names.schedule_id(request.name)
        return messages.schedule(await self._store.read(lambda tx: tx.schedules.get(schedule_id)))

    async def ListSchedules(
        self, request: schedules_pb2.ListSchedulesRequest, context: Any
    ) -> schedules_pb2.ListSchedulesResponse:
        """Lists schedules."""
        size, after = self._pages.size(request.page_size), self._pages.position(request) or ""
        found = await self._store.read(lambda tx: tx.schedules.page(after, size))
        listed, token = self._pages.page(request, found, size, lambda one: one.schedule_id, messages.schedule)
        return schedules_pb2.ListSchedulesResponse(schedules=listed, next_page_token=token)

    async def DeleteSchedule(
        self, request: schedules_pb2.DeleteScheduleRequest, context: Any
    ) -> schedules_pb2.DeleteScheduleResponse:
        """Deletes a schedule."""
        schedule_id, request_id = names.schedule_id(request.name), requests.request_id(request.request_id)
        await delete_schedule(self._store, caller(), schedule_id, request_id)
        return schedules_pb2.DeleteScheduleResponse()

    async def PauseSchedule(self, request: schedules_pb2.PauseScheduleRequest, context: Any) -> schedules_pb2.Schedule:
        """Pauses a schedule."""
        schedule_id, request_id = names.schedule_id(request.name), requests.request_id(request.request_id)
        return messages.schedule(await pause_schedule(self._store, caller(), schedule_id, request_id))

    async def ResumeSchedule(
        self, request: schedules_pb2.ResumeScheduleRequest, context: Any
    ) -> schedules_pb2.Schedule:
        """Resumes a schedule."""
        schedule_id, request_id = names.schedule_id(request.name), requests.request_id(request.request_id)
        return messages.schedule(await resume_schedule(self._store, caller(), schedule_id, request_id))

    async def TriggerSchedule(
        self, request: schedules_pb2.TriggerScheduleRequest, context: Any
    ) -> schedules_pb2.Firing:
        """Fires a schedule."""
        schedule_id, request_id = names.schedule_id(request.name), requests.request_id(request.request_id)
        return messages.firing(await trigger_schedule(self._store, self._limits, caller(), schedule_id, request_id))

    async def ListFirings(
        self, request: schedules_pb2.ListFiringsRequest, context: Any
    ) -> schedules_pb2.ListFiringsResponse:
        """Lists what became of a schedule's times."""
        schedule_id = names.schedule_id(request.schedule, "schedule")
        size, before = self._pages.size(request.page_size), self._pages.position(request) or 0
        await self._store.read(lambda tx: tx.schedules.get(schedule_id))
        found = await self._store.read(lambda tx: tx.firings.page(schedule_id, before, size))
        listed, token = self._pages.page(request, found, size, lambda one: one.scheduled_at, messages.firing)
        return schedules_pb2.ListFiringsResponse(firings=listed, next_page_token=token)
