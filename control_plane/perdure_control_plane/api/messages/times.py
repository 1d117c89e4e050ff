"""Times and durations: microseconds inside, well-known types on the wire."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(at: int) -> Timestamp | None:
    """A time; None for 0, which means never."""
    if not at:
        return None
    message = Timestamp()
    message.FromMicroseconds(at)
    return message


def duration(micros: int) -> Duration:
    """A duration."""
    message = Duration()
    message.FromMicroseconds(micros)
    return message
