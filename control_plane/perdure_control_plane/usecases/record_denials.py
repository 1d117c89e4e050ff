"""Writes denied calls down. A flood of them does not fill the store: of each kind there is an event at once, and one with
a count for those that followed in the same minute."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from perdure.audit.events import AuditDetail, AuditOutcome, AuditType
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import ANONYMOUS, Principal
from perdure_control_plane.usecases.ports import Order, Store, Transaction

TOGETHER_SECONDS: Final = 60.0
"""So long denials of a kind are counted together after the first."""

MAX_KINDS: Final = 1000
"""Kinds that are counted apart at a time; what is denied beyond them is of one kind, in nobody's name."""

KINDS_OF_RESOURCES: Final = 500
"""Of these, kinds that are of one resource each; what is denied beyond them is counted by caller, method and reason."""

KINDS_OF_CALLER: Final = 20
"""Kinds of one caller beyond which resources are not told apart, so that nobody takes the place of others."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Denials that are counted together, from wherever they come."""

    principal: Principal
    method: str
    reason: str
    resource: str = ""
    """Empty for callers whom nobody knows: they could think of ever new ones."""


_OTHERS: Final = _Kind(ANONYMOUS, "", "")
_OF_OTHERS: Final = Act(AuditType.AUTH_DENIED, Caller(ANONYMOUS, authenticated=False), "", outcome=AuditOutcome.DENIED)


@dataclass(slots=True)
class _Counted:
    """How many of a kind nobody has written down yet, the last of them, and until when they are counted."""

    last: Act
    until: float
    count: int = 0


class Denials:
    """Denied calls of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counted: dict[_Kind, _Counted] = {}

    async def record(self, caller: Caller, reason: str, resource: str, request_id: str = "") -> None:
        """Takes a denial in; the first of a kind is stored when this returns. Whatever it raises, the denial is counted."""
        act = Act(AuditType.AUTH_DENIED, caller, resource, request_id, outcome=AuditOutcome.DENIED, reason=reason)
        kind = self._kind(caller, reason, resource)
        if kind is _OTHERS:
            act = _OF_OTHERS
        is_first = kind not in self._counted
        now = asyncio.get_running_loop().time()
        counted = self._counted.setdefault(kind, _Counted(act, now + TOGETHER_SECONDS))
        counted.last, counted.count = _both(counted.last, act) if counted.count else act, counted.count + 1
        if is_first:
            await self._store_counted([counted])

    def _kind(self, caller: Caller, reason: str, resource: str) -> _Kind:
        kind = _Kind(caller.principal, caller.method, reason, resource if caller.authenticated else "")
        if kind in self._counted:
            return kind
        known = sum(other.principal == caller.principal for other in self._counted)
        if known >= KINDS_OF_CALLER or len(self._counted) >= KINDS_OF_RESOURCES:
            kind = replace(kind, resource="")
        return kind if kind in self._counted or len(self._counted) < MAX_KINDS else _OTHERS

    async def store_due(self, *, all_of_them: bool = False) -> None:
        """Stores what was counted and is not counted any longer, or all there is. Whatever it raises, nothing is lost."""
        now = asyncio.get_running_loop().time()
        due = {kind: one for kind, one in self._counted.items() if all_of_them or one.until <= now}
        await self._store_counted([one for one in due.values() if one.count])
        for kind, one in due.items():
            if not one.count:
                self._counted.pop(kind, None)

    async def _store_counted(self, counted: list[_Counted]) -> None:
        taken = [(one, one.count) for one in counted]
        for one, count in taken:
            one.count -= count
        acts = [replace(one.last, details={AuditDetail.COUNT: str(count)}) for one, count in taken]

        def body(tx: Transaction) -> None:
            for act in acts:
                tx.audit.record(act)

        try:
            if acts:
                await self._store.write(body, Order.GUARDED)
        except BaseException:
            for one, count in taken:
                one.count += count
            raise


def _both(one: Act, other: Act) -> Act:
    """Both of a kind, with what they have in common."""
    return replace(
        other,
        resource=other.resource if one.resource == other.resource else "",
        request_id=other.request_id if one.request_id == other.request_id else "",
    )
