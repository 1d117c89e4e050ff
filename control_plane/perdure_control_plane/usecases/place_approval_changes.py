"""Puts changes of approvals in one order over all runs, after they are committed, and forgets old ones.

Any server may, at any time: whoever has the row of the order's end gives places, and the others find nothing left to do. A
change is given its place when it is seen, so one that was committed late stands behind those that came before it, and no
reader who is past a position ever misses one.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from perdure_control_plane.domain.approval_change import ChangesHead
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.ports import Order, Store

AT_ONCE: Final = 500
"""Changes that are placed, or deleted, in a commit."""

KEEP_CHANGES: Final = 7 * 24 * 3600 * SECOND
"""For so long whoever was away can go on where it was."""


async def place_approval_changes(store: Store) -> ChangesHead:
    """Places what there is, and says how far the order is then."""
    while await store.read(lambda tx: tx.approval_changes.is_unplaced()):
        await store.write(lambda tx: tx.approval_changes.place(AT_ONCE), Order.GUARDED)
    return await store.read(lambda tx: tx.approval_changes.head())


async def prune_approval_changes(store: Store, rest: Callable[[], Awaitable[None]]) -> int:
    """Deletes changes that are older than they are kept; how many. `rest` is awaited between two commits."""
    pruned = 0
    while gone := await store.write(
        lambda tx: tx.approval_changes.prune(tx.now - KEEP_CHANGES, AT_ONCE), Order.GUARDED
    ):
        pruned += gone
        await rest()
    return pruned
