"""The stream of what happens to approvals: what was asked, and what is sent of it, each with a token to go on from."""

from collections.abc import AsyncIterator, Callable
from typing import assert_never

from perdure.v1 import approvals_pb2
from perdure_control_plane.api import approval_requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import approvals as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.approval import Approval
from perdure_control_plane.domain.approval_change import ApprovalChange, ChangesCursor
from perdure_control_plane.domain.errors import ResumeTokenExpired, field_invalid
from perdure_control_plane.usecases.watch_approvals import ApprovalNews, ApprovalWatcher, Heartbeat, SnapshotEnd


class WatchedApprovals:
    """Follows approvals for callers. A token is good in the life of the store that it was given in."""

    def __init__(self, watcher: ApprovalWatcher, pages: Pages, generation: Callable[[], int]) -> None:
        """`generation` says which life of the store this is: in another, what a token is after may never have happened."""
        self._watcher = watcher
        self._pages = pages
        self._generation = generation

    async def responses(
        self, request: approvals_pb2.WatchApprovalsRequest
    ) -> AsyncIterator[approvals_pb2.WatchApprovalsResponse]:
        """Everything that is sent. Raises FieldInvalid, ResumeTokenExpired, ServerDraining."""
        wanted, cursor = approval_requests.approval_filter(request, caller()), self._cursor(request)
        generation = self._generation()
        async for news in self._watcher.watch(wanted, cursor, snapshot=request.snapshot):
            response = _response(news)
            where = [generation, news.cursor.position, news.cursor.place]
            response.resume_token = self._pages.token(request, where)
            yield response

    def _cursor(self, request: approvals_pb2.WatchApprovalsRequest) -> ChangesCursor | None:
        found = self._pages.cursor(request)
        if found is None:
            return None
        if request.snapshot:
            raise field_invalid("snapshot", "is what a stream begins with; leave it out where resume_token goes on")
        generation, position, place = found
        if generation != self._generation():
            raise ResumeTokenExpired
        return ChangesCursor(position, None if place is None else tuple(place))


def _response(news: ApprovalNews) -> approvals_pb2.WatchApprovalsResponse:
    response = approvals_pb2.WatchApprovalsResponse()
    match news.item:
        case Approval():
            response.open.CopyFrom(messages.approval(news.item))
        case ApprovalChange():
            response.change.CopyFrom(messages.approval_change(news.item))
        case SnapshotEnd():
            response.snapshot_end_time.GetCurrentTime()
        case Heartbeat():
            response.heartbeat_time.GetCurrentTime()
        case _:
            assert_never(news.item)
    return response
