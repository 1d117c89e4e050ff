"""ApprovalService."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from perdure.v1 import approvals_pb2, approvals_pb2_grpc
from perdure_control_plane.api import approval_requests, names
from perdure_control_plane.api.interceptors import caller, write_down_denial
from perdure_control_plane.api.messages import approvals as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.api.watched_approvals import WatchedApprovals
from perdure_control_plane.domain.approval import TokenKeys
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import PerdureError
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.comment_approval import comment_approval
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval, decide_together
from perdure_control_plane.usecases.delegate_approval import delegate_approval
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.withdraw_approval import withdraw_approval


class ApprovalServicer(approvals_pb2_grpc.ApprovalServiceServicer):
    """Shows approvals and takes decisions."""

    def __init__(
        self, store: Store, limits: Limits, keys: Callable[[], TokenKeys], pages: Pages, watched: WatchedApprovals
    ) -> None:
        """`keys` gives those that are behind tokens now."""
        self._store = store
        self._limits = limits
        self._keys = keys
        self._pages = pages
        self._watched = watched

    async def GetApproval(self, request: approvals_pb2.GetApprovalRequest, context: Any) -> approvals_pb2.Approval:
        """Shows an approval with its subject, and with its token to those who may decide it."""
        shown = await get_approval(self._store, self._keys(), caller(), names.approval_id(request.name))
        return messages.approval(shown.approval, shown.token)

    async def ListApprovals(
        self, request: approvals_pb2.ListApprovalsRequest, context: Any
    ) -> approvals_pb2.ListApprovalsResponse:
        """Lists approvals."""
        size, after = self._pages.size(request.page_size), self._pages.position(request)
        wanted = approval_requests.approval_filter(request, caller())
        found = await self._store.read(lambda tx: tx.approvals.page(wanted, after, size, tx.now))
        listed, token = self._pages.page(
            request, found, size, lambda item: item[1], lambda item: messages.approval(item[0])
        )
        return approvals_pb2.ListApprovalsResponse(approvals=listed, next_page_token=token)

    async def DecideApproval(
        self, request: approvals_pb2.DecideApprovalRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Takes a decision."""
        asked = approval_requests.deciding(request)
        return messages.approval(await decide_approval(self._store, self._limits, self._keys(), caller(), asked))

    async def DecideApprovals(
        self, request: approvals_pb2.DecideApprovalsRequest, context: Any
    ) -> approvals_pb2.DecideApprovalsResponse:
        """Takes several decisions: each by itself, or all in one commit."""
        asked, who = approval_requests.decisions(request), caller()
        if request.atomic:
            decided = await decide_together(self._store, self._limits, self._keys(), who, asked)
            return approvals_pb2.DecideApprovalsResponse(results=map(messages.decided, decided))
        results = [await self._result(who, one) for one in asked]
        return approvals_pb2.DecideApprovalsResponse(results=results)

    async def _result(self, who: Caller, asked: Deciding) -> approvals_pb2.DecideApprovalsResponse.Result:
        try:
            return messages.decided(await decide_approval(self._store, self._limits, self._keys(), who, asked))
        except PerdureError as error:
            await write_down_denial(error, asked)
            return messages.refused(asked.approval_id, error)

    async def DelegateApproval(
        self, request: approvals_pb2.DelegateApprovalRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Asks somebody else in the caller's place."""
        asked = approval_requests.delegating(request)
        return messages.approval(await delegate_approval(self._store, self._limits, caller(), asked))

    async def WithdrawApproval(
        self, request: approvals_pb2.WithdrawApprovalRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Closes a request that nobody is to decide any more."""
        asked = approval_requests.withdrawing(request)
        return messages.approval(await withdraw_approval(self._store, caller(), asked))

    async def CommentApproval(
        self, request: approvals_pb2.CommentApprovalRequest, context: Any
    ) -> approvals_pb2.Approval:
        """Keeps what somebody says about it."""
        asked = approval_requests.commenting(request)
        return messages.approval(await comment_approval(self._store, self._limits, caller(), asked))

    async def WatchApprovals(
        self, request: approvals_pb2.WatchApprovalsRequest, context: Any
    ) -> AsyncIterator[approvals_pb2.WatchApprovalsResponse]:
        """Streams what happens to approvals."""
        async for response in self._watched.responses(request):
            yield response
