"""JSON objects, as they stand in inputs, outputs and manifests."""

import json
from typing import Any, Final

JsonObject = dict[str, Any]
"""A parsed JSON object: texts, numbers, booleans, None, and lists and objects of them."""


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8, keys sorted. Raises ValueError for NaN and infinity, TypeError for what is not JSON."""
    return _JSON.encode(value).encode()


_JSON: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
