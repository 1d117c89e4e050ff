"""Large payloads of events: kept once each by their digest, compressed, apart from the log that names them.

An event of more than INLINE_BYTES has its one large field cut out of its bytes. What stands in its row then is a zero, which
no event begins with, the digest, the place and the size of what was cut out, and the rest of the event. Whoever reads the
log gets the bytes back as they were.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import zstandard
from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect

from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.errors import DataCorrupt
from perdure_control_plane.storage.statements import Change, Prepared
from perdure_control_plane.storage.tables import payload_references, payloads

INLINE_BYTES: Final = 256 * 1024
"""Events up to this size stand in their rows as they are."""

_MARK: Final = struct.Struct(">x32sII")
"""What begins the row of an event without its payload: a zero; digest, place and size of the payload."""

_CUT: Final = frozenset({FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING})


@dataclass(frozen=True, slots=True)
class Cut:
    """An event in two pieces."""

    row: bytes
    """What stands in the event's row."""
    digest: bytes
    payload: bytes


class PayloadStatements:
    """Statements over payloads, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.refer: Final = Prepared(_insert(payload_references, dialect).on_conflict_do_nothing(), dialect)
        self.keep: Final = Prepared(_keep(dialect), dialect, shared=True)

    def apart(self, run_id: str, event: bytes, at: int, changes: list[Change]) -> bytes:
        """What stands in the row of a large event; what is kept apart of it is added to the changes."""
        cut = cut_out(event)
        if cut is None:
            return event
        content = zstandard.ZstdCompressor().compress(cut.payload)
        values = {"digest": cut.digest, "bytes": len(cut.payload), "content": content, "kept_at": at}
        changes += (self.keep.change(values), self._named(run_id, cut))
        return cut.row

    def named(self, run_id: str, event: bytes) -> list[Change]:
        """What notes which payload a large event names, without keeping it."""
        cut = cut_out(event)
        return [] if cut is None else [self._named(run_id, cut)]

    def _named(self, run_id: str, cut: Cut) -> Change:
        return self.refer.change({"digest": cut.digest, "run_id": run_id})


def _keep(dialect: Dialect) -> Any:
    kept = _insert(payloads, dialect)
    if dialect.name != "postgresql":
        return kept.on_conflict_do_nothing()
    # Locks the row where it is there already: whoever collects what nothing names waits for that, and looks again.
    return kept.on_conflict_do_update(index_elements=["digest"], set_={"kept_at": kept.excluded.kept_at})


def _insert(table: Any, dialect: Dialect) -> Any:
    return postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)


class Payloads:
    """Puts events together again, and deletes payloads that no event names."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fill(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Rows whose last column is an event, run and sequence in front of it as in `run_events`, with whole events.

        Raises DataCorrupt where a payload is not there, or is not what the event says.
        """
        wanted = {_MARK.unpack_from(row[-1])[0] for row in rows if row[-1][0] == 0}
        if not wanted:
            return rows
        query = select(payloads.c.digest, payloads.c.content).where(payloads.c.digest.in_(wanted))
        found = {bytes(digest): bytes(content) for digest, content in self._connection.execute(query)}
        return [row if row[-1][0] else (*row[:-1], _filled(row, found)) for row in rows]

    def unreachable(self, limit: int) -> list[bytes]:
        """Digests of payloads that no event names."""
        query = select(payloads.c.digest).where(~_NAMED).limit(limit)
        return [bytes(row[0]) for row in self._connection.execute(query)]

    def collect(self, digests: Iterable[bytes]) -> int:
        """Deletes those payloads that no event names still, and returns how many."""
        gone = delete(payloads).where(payloads.c.digest.in_(list(digests)), ~_NAMED)
        return self._connection.execute(gone).rowcount


def cut_out(event: bytes) -> Cut | None:
    """An event without its largest field, which is apart; None where that is not large."""
    message = RunEvent.FromString(event)
    kind = getattr(message, message.WhichOneof("kind") or "")
    values = [
        getattr(kind, field.name) for field in kind.DESCRIPTOR.fields if field.type in _CUT and not field.is_repeated
    ]
    payload = max((value if isinstance(value, bytes) else value.encode() for value in values), key=len, default=b"")
    if len(payload) <= INLINE_BYTES // 2:
        return None
    digest, at = hashlib.sha256(payload).digest(), event.index(payload)
    return Cut(_MARK.pack(digest, at, len(payload)) + event[:at] + event[at + len(payload) :], digest, payload)


def size_of(stored: bytes) -> int:
    """How large the event is that a row holds, its payload counted."""
    if stored[0]:
        return len(stored)
    return len(stored) - _MARK.size + int(_MARK.unpack_from(stored)[2])


def _filled(row: Any, found: dict[bytes, bytes]) -> bytes:
    stored = bytes(row[-1])
    digest, at, size = _MARK.unpack_from(stored)
    try:
        payload = zstandard.ZstdDecompressor().decompress(found[digest], max_output_size=size)
    except (KeyError, zstandard.ZstdError):
        payload = b""
    if hashlib.sha256(payload).digest() != digest:
        raise DataCorrupt(_log_of(row), f"the payload {digest.hex()} is missing or damaged")
    rest = stored[_MARK.size :]
    return rest[:at] + payload + rest[at:]


def _log_of(row: Any) -> str:
    run_id = next(value for value in row if isinstance(value, str))
    return f"runs/{run_id}"


_NAMED: Final = exists().where(payload_references.c.digest == payloads.c.digest)
