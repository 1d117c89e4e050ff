"""Values of a manifest as a plan holds them."""

import json
from typing import Any

from google.protobuf.duration_pb2 import Duration


def duration(seconds: float) -> Duration:
    """A span of time, to the microsecond."""
    made = Duration()
    made.FromMicroseconds(round(seconds * 1e6))
    return made


def json_of(value: Any) -> bytes:
    """Compact JSON, keys as they were written; nothing for what is empty."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() if value else b""
