"""Deletes audit events that are older than they are kept, oldest first, from one signed head to another."""

from collections.abc import Awaitable, Callable
from typing import Final

from perdure.audit.events import AuditDetail, AuditType
from perdure_control_plane.domain.audit import RETAINING, Act
from perdure_control_plane.usecases.ports import Order, Store, Transaction

EVENTS_A_COMMIT: Final = 1000
"""About so many events are deleted in a commit: up to a signed head, so that what is left can be checked at any time."""


async def prune_audit(store: Store, age: int, rest: Callable[[], Awaitable[None]]) -> int:
    """Deletes what was sealed and signed longer ago than an age, in microseconds; how many events. `rest` is awaited between
    two commits."""
    pruned = 0
    while gone := await store.write(lambda tx: _prune(tx, tx.now - age), Order.GUARDED):
        pruned += gone
        await rest()
    return pruned


def _prune(tx: Transaction, signed_before: int) -> int:
    tx.chain.lock()
    to = tx.chain.prunable(signed_before, EVENTS_A_COMMIT)
    if to is None:
        return 0
    gone = tx.chain.prune(to)
    details = {AuditDetail.COUNT: str(gone), AuditDetail.POSITION: str(to)}
    tx.audit.record(Act(AuditType.AUDIT_PRUNED, RETAINING, "auditEvents", details=details))
    return gone
