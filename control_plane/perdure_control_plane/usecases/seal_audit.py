"""Chains audit events that are committed, and signs how far the chain is.

Any server may, at any time: whoever has the row of the chain's end seals, and the others find nothing left to do. An event
is sealed when it is seen, so one that was committed late has its place behind those that came before it.
"""

from typing import Final

from perdure.audit.chain import SealedEvent, seal
from perdure.audit.signing import HeadKey
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.usecases.ports import Order, Store, Transaction

AT_ONCE: Final = 500
"""Events that are sealed in a commit."""

SIGN_EVERY: Final = 60 * SECOND
"""After so long the chain's head is signed, where it is another than the one before."""

SIGN_AFTER: Final = 1000
"""After so many events it is, however soon."""


async def seal_audit(store: Store, key: HeadKey) -> int:
    """Seals what there is, and returns how many events that were: at most AT_ONCE."""
    if not await store.read(lambda tx: tx.chain.is_due(tx.now - SIGN_EVERY)):
        return 0
    return await store.write(lambda tx: _seal(tx, key), Order.GUARDED)


def _seal(tx: Transaction, key: HeadKey) -> int:
    position, hash = tx.chain.lock()
    sealed: list[SealedEvent] = []
    for event in tx.chain.unsealed(AT_ONCE):
        sealed.append(seal(event, position + 1, hash))
        position, hash = sealed[-1].position, sealed[-1].hash
    if sealed:
        tx.chain.seal(sealed)
    signed = tx.chain.head().signed
    since = position - (signed.position if signed else 0)
    if since and (signed is None or since >= SIGN_AFTER or tx.now - signed.signed_at >= SIGN_EVERY):
        tx.chain.sign(key.sign(position, hash, tx.now))
    return len(sealed)
