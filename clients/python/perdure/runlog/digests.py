"""The head digest: one SHA-256 that a whole log, up to a position, is known by.

It is a chain: the digest at an event is that of the digest before it, the sequence as eight bytes (big-endian), the
length of the origin as four, the origin as a RecordedEvent with nothing else has it, and the event's bytes as stored.
Before the first event it is 32 zero bytes.
"""

import hashlib
from typing import Final

from perdure.v1.run_events_pb2 import RecordedEvent

NO_EVENTS: Final = bytes(32)
"""Digest of a log before its first event."""


def next_digest(before: bytes, recorded: RecordedEvent, stored: bytes) -> bytes:
    """The digest at an event, from that before it. `stored` are the event's bytes as they are stored."""
    origin = RecordedEvent()
    if recorded.HasField("holder"):
        origin.holder.CopyFrom(recorded.holder)
    else:
        origin.outside.CopyFrom(recorded.outside)
    told = origin.SerializeToString()
    chain = hashlib.sha256(before)
    # Signed, for a file from elsewhere may say anything; what counts from 1 has the same bytes either way.
    chain.update(recorded.sequence.to_bytes(8, "big", signed=True))
    chain.update(len(told).to_bytes(4, "big"))
    chain.update(told)
    chain.update(stored)
    return chain.digest()
