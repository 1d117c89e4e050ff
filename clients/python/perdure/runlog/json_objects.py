"""JSON objects, as they stand in inputs, outputs and manifests."""

from typing import Any

JsonObject = dict[str, Any]
"""A parsed JSON object: texts, numbers, booleans, None, and lists and objects of them."""
