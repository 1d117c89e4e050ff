"""The chain of audit events: their places, and the heads that were signed: `audit_events`, `audit_chain`, `audit_heads`."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, insert, literal_column, select, text, update
from sqlalchemy.engine import Connection

from perdure.audit.chain import NOTHING, SealedEvent, SignedHead
from perdure.audit.events import AuditEvent
from perdure_control_plane.domain.audit import ChainHead
from perdure_control_plane.domain.errors import Conflict
from perdure_control_plane.storage.tables import audit_chain, audit_events, audit_heads

_ZERO: Final[ColumnElement[int]] = literal_column("0")
"""As it stands in the conditions of the partial indexes; a bound value would not be recognised there."""

_UNSEALED: Final = audit_events.c.position == _ZERO
_SEALED: Final = audit_events.c.position > _ZERO
_FIELDS: Final = (
    "event_id", "recorded_at", "type", "principal", "authenticated", "peer", "method", "resource", "outcome", "reason",
    "request_id", "details",
)  # fmt: skip
COLUMNS: Final = [audit_events.c[name] for name in (*_FIELDS, "position", "previous_hash", "hash")]
_HEADS: Final = select(*(audit_heads.c[name] for name in ("position", "hash", "signed_at", "public_key", "signature")))
_BEGUN: Final = text("INSERT INTO audit_chain (id, position, hash) VALUES (1, 0, :hash) ON CONFLICT DO NOTHING")


def sealed_from(row: Sequence[Any]) -> SealedEvent:
    """An event of COLUMNS. Its position is 0 where it has no place yet."""
    fields = dict(zip(_FIELDS, row, strict=False))
    fields.update(authenticated=bool(fields["authenticated"]), details=details_of(fields["details"]))
    position, previous_hash, own = row[len(_FIELDS) :]
    return SealedEvent(AuditEvent(**fields), position, bytes(previous_hash), bytes(own))


def details_of(text: str) -> dict[str, str]:
    """What an event says beside who, what and where; nothing, which its hash denies, where that was damaged."""
    try:
        details = json.loads(text)
    except ValueError:
        return {}
    return details if isinstance(details, dict) else {}


class AuditChain:
    """Keeps the chain."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_due(self, signed_before: int) -> bool:
        """Whether an event has no place yet, or the last has one, and the head that was signed last is older than that."""
        if self._connection.execute(select(exists().where(_UNSEALED))).scalar_one():
            return True
        head = self.head()
        signed = head.signed
        return head.position > (signed.position if signed else 0) and (
            signed is None or signed.signed_at <= signed_before
        )

    def lock(self) -> tuple[int, bytes]:
        """Where the chain ends, as position and hash; nobody else makes it longer before this transaction ends."""
        self._connection.execute(_BEGUN, {"hash": NOTHING})
        query = select(audit_chain.c.position, audit_chain.c.hash).with_for_update()
        position, hash = self._connection.execute(query).one()
        return int(position), bytes(hash)

    def unsealed(self, limit: int) -> list[AuditEvent]:
        """Events that have no place yet. They are committed, however long ago they began."""
        query = select(*COLUMNS).where(_UNSEALED).order_by(audit_events.c.event_id).limit(limit)
        return [sealed_from(row).event for row in self._connection.execute(query)]

    def seal(self, sealed: Sequence[SealedEvent]) -> None:
        """Gives events their places, and moves the end there. Raises Conflict where one has a place already."""
        rows = [
            {"of": one.event.event_id, "place": one.position, "before": one.previous_hash, "own": one.hash}
            for one in sealed
        ]
        self._connection.execute(_SEAL, rows)
        placed = (
            select(func.count()).select_from(audit_events).where(audit_events.c.position >= sealed[0].position, _SEALED)
        )
        if self._connection.execute(placed).scalar_one() != len(sealed):
            raise Conflict("the audit chain")
        last = sealed[-1]
        self._connection.execute(update(audit_chain).values(position=last.position, hash=last.hash))

    def sign(self, head: SignedHead) -> None:
        """Stores a signed head."""
        self._connection.execute(
            insert(audit_heads).values(
                position=head.position,
                hash=head.hash,
                signed_at=head.signed_at,
                public_key=head.public_key,
                signature=head.signature,
            )
        )

    def head(self) -> ChainHead:
        """How far the chain is."""
        end = self._connection.execute(select(audit_chain.c.position, audit_chain.c.hash)).first()
        position, hash = (int(end[0]), bytes(end[1])) if end else (0, NOTHING)
        first = self._connection.execute(select(func.min(audit_events.c.position)).where(_SEALED)).scalar_one()
        unsealed = self._connection.execute(
            select(func.count()).select_from(audit_events).where(_UNSEALED)
        ).scalar_one()
        last = self._connection.execute(_HEADS.order_by(audit_heads.c.position.desc()).limit(1)).first()
        pruned = position if first is None else int(first) - 1
        return ChainHead(position, hash, int(unsealed), pruned, _signed(last) if last else None)

    def sealed(self, after: int, limit: int) -> list[SealedEvent]:
        """Events of the chain after a position, in order."""
        query = select(*COLUMNS).where(_SEALED, audit_events.c.position > after).order_by(audit_events.c.position)
        return [sealed_from(row) for row in self._connection.execute(query.limit(limit))]

    def signed(self, first: int, last: int) -> list[SignedHead]:
        """Signed heads from a position to another, in order."""
        between = audit_heads.c.position.between(first, last)
        return [
            _signed(row) for row in self._connection.execute(_HEADS.where(between).order_by(audit_heads.c.position))
        ]

    def prunable(self, signed_before: int, about: int) -> int | None:
        """Position of a head that was signed before a time, about so many events behind the oldest; None where none is."""
        first = self.head().pruned_position + 1
        old = select(audit_heads.c.position).where(audit_heads.c.signed_at < signed_before)
        near = old.where(audit_heads.c.position.between(first, first + about - 1))
        far = old.where(audit_heads.c.position >= first + about)
        found = self._connection.execute(near.order_by(audit_heads.c.position.desc()).limit(1)).scalar()
        if found is None:
            found = self._connection.execute(far.order_by(audit_heads.c.position).limit(1)).scalar()
        return None if found is None else int(found)

    def prune(self, to: int) -> int:
        """Deletes events up to a position, and the heads that were signed before the one there; how many events."""
        gone = self._connection.execute(delete(audit_events).where(_SEALED, audit_events.c.position <= to)).rowcount
        self._connection.execute(delete(audit_heads).where(audit_heads.c.position < to))
        return gone


_SEAL: Final = (
    update(audit_events)
    .where(audit_events.c.event_id == bindparam("of"), _UNSEALED)
    .values(position=bindparam("place"), previous_hash=bindparam("before"), hash=bindparam("own"))
)


def _signed(row: Sequence[Any]) -> SignedHead:
    position, hash, signed_at, public_key, signature = row
    return SignedHead(int(position), bytes(hash), int(signed_at), bytes(public_key), bytes(signature))
