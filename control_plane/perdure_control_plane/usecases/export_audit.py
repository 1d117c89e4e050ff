"""Reads the chain of audit events from a position to its end, with the heads that were signed."""

from collections.abc import AsyncIterator
from typing import Final

from perdure.audit.chain import SealedEvent, SignedHead
from perdure_control_plane.domain.audit import ChainHead
from perdure_control_plane.usecases.ports import Store, Transaction

AT_ONCE: Final = 500
"""Events that are read in one go."""

Piece = SealedEvent | SignedHead | ChainHead


async def export_audit(store: Store, after: int) -> AsyncIterator[Piece]:
    """Events after a position, each signed head behind the event that it is of, and where the chain ended at the beginning.

    Where more was pruned than was asked to be left out, the signed head of what is gone comes first.
    """
    head = await store.read(lambda tx: tx.chain.head())
    position = after
    if head.pruned_position > after:
        position = head.pruned_position
        for signed in await store.read(lambda tx: tx.chain.signed(position, position)):
            yield signed
    while position < head.position:
        pieces = await store.read(lambda tx, position=position: chain_page(tx, position, head.position))  # type: ignore[misc]  # default binds now
        for piece in pieces:
            yield piece
        position = max((piece.position for piece in pieces), default=head.position)
    yield head


def chain_page(tx: Transaction, after: int, end: int) -> list[SealedEvent | SignedHead]:
    """Events after a position, in order, each signed head behind the event that it is of; none that is behind the end."""
    events = [one for one in tx.chain.sealed(after, AT_ONCE) if one.position <= end]
    last = events[-1].position if len(events) == AT_ONCE else end
    pieces: list[SealedEvent | SignedHead] = [*events, *tx.chain.signed(after + 1, last)]
    return sorted(pieces, key=lambda one: (one.position, isinstance(one, SignedHead)))
