"""Whether the audit trail of a store is whole, without a server."""

import typer

from perdure.audit.chain import SealedEvent
from perdure.audit.checker import ChainChecker
from perdure.audit.signing import is_signed
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.export_audit import chain_page


def check_chain(tx: SqlTransaction) -> ChainChecker:
    """Checks every sealed event and every signed head."""
    checker, head = ChainChecker(is_signed), tx.chain.head()
    position = head.pruned_position
    for signed in tx.chain.signed(position, position):
        checker.take_head(signed)
    while position < head.position and (pieces := chain_page(tx, position, head.position)):
        for piece in pieces:
            if isinstance(piece, SealedEvent):
                checker.take(piece)
            else:
                checker.take_head(piece)
        position = pieces[-1].position
    checker.finish(head.position, head.hash)
    return checker


def tell_chain(checker: ChainChecker) -> None:
    """Says what is wrong with the audit trail, the first position first; nothing where it is whole."""
    for fault in sorted(checker.faults, key=lambda fault: fault.position):
        typer.echo(f"the audit trail is broken at position {fault.position}: {fault.message}", err=True)
