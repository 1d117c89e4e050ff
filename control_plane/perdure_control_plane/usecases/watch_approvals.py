"""Follows approvals: what is open first, where that is asked for, then every change, in order, from a cursor on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from perdure_control_plane.domain.approval import Approval, ApprovalState
from perdure_control_plane.domain.approval_change import ApprovalChange, ApprovalPlace, ChangesCursor
from perdure_control_plane.domain.errors import ResumeTokenExpired, ServerDraining
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.usecases.place_approval_changes import place_approval_changes
from perdure_control_plane.usecases.ports import Store

PIECE: Final = 100
"""Approvals, or changes, that are read at once."""


class ApprovalHints(Protocol):
    """Tells when changes have got their places. A hint: whoever waits looks again after a while anyway."""

    def follow_approvals(self, wake: asyncio.Event) -> Callable[[], None]:
        """Sets `wake` whenever changes have got their places. Returns what ends that."""

    @property
    def draining(self) -> bool:
        """Whether the server is about to end."""


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """All that is open was shown."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """There is nothing new."""


@dataclass(frozen=True, slots=True)
class ApprovalNews:
    """One piece of what is followed, and where to go on after it. An Approval is one that is open."""

    item: Approval | ApprovalChange | SnapshotEnd | Heartbeat
    cursor: ChangesCursor


class ApprovalWatcher:
    """Follows approvals for watchers."""

    def __init__(self, store: Store, hints: ApprovalHints, heartbeat_seconds: float) -> None:
        self._store = store
        self._hints = hints
        self._heartbeat_seconds = heartbeat_seconds

    async def watch(
        self, wanted: ApprovalFilter, cursor: ChangesCursor | None, *, snapshot: bool
    ) -> AsyncIterator[ApprovalNews]:
        """What happens after a cursor, or from now on. Does not end by itself.

        A snapshot shows what is open first; it, and what follows, leave nothing out: what happens while it is being shown
        is told afterwards. Raises ResumeTokenExpired where changes after the cursor were deleted, and ServerDraining.
        """
        wake = asyncio.Event()
        end = self._hints.follow_approvals(wake)
        try:
            cursor = await self._begin(cursor, snapshot=snapshot)
            if cursor.place is not None:
                async for news in self._open_ones(wanted, cursor.position, cursor.place):
                    yield news
            else:
                yield ApprovalNews(Heartbeat(), cursor)  # whoever is cut off from now on knows where to go on
            async for news in self._changes(wanted, cursor.position, wake):
                yield news
        finally:
            end()

    async def _begin(self, cursor: ChangesCursor | None, *, snapshot: bool) -> ChangesCursor:
        if cursor is None:
            head = await place_approval_changes(self._store)  # what has happened by now is not told as if it came later
            return ChangesCursor(head.position, () if snapshot else None)
        head = await self._store.read(lambda tx: tx.approval_changes.head())
        if not head.pruned_position <= cursor.position <= head.position:
            raise ResumeTokenExpired
        return cursor

    async def _open_ones(
        self, wanted: ApprovalFilter, position: int, place: ApprovalPlace
    ) -> AsyncIterator[ApprovalNews]:
        if not wanted.states or ApprovalState.OPEN in wanted.states:
            wanted = replace(wanted, states=(ApprovalState.OPEN,))
            while found := await self._page(wanted, place):
                for approval, at in found:
                    place = at
                    yield ApprovalNews(approval, ChangesCursor(position, place))
        yield ApprovalNews(SnapshotEnd(), ChangesCursor(position))

    async def _page(self, wanted: ApprovalFilter, place: ApprovalPlace) -> list[tuple[Approval, ApprovalPlace]]:
        if self._hints.draining:
            raise ServerDraining
        return await self._store.read(lambda tx: tx.approvals.page(wanted, place or None, PIECE))

    async def _changes(self, wanted: ApprovalFilter, position: int, wake: asyncio.Event) -> AsyncIterator[ApprovalNews]:
        while True:
            wake.clear()
            after = position
            head, (changes, position) = await self._store.read(
                lambda tx, after=after: (tx.approval_changes.head(), tx.approval_changes.after(after, wanted, PIECE))  # type: ignore[misc]  # default binds now
            )
            if after < head.pruned_position:
                raise ResumeTokenExpired
            for change in changes:
                yield ApprovalNews(change, ChangesCursor(change.position))
            if self._hints.draining:
                raise ServerDraining
            if position == after and not await self._woken(wake):
                yield ApprovalNews(Heartbeat(), ChangesCursor(position))

    async def _woken(self, wake: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(self._heartbeat_seconds):
                await wake.wait()
        except TimeoutError:
            return False
        return True
