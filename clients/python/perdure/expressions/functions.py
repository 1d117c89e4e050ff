"""The functions that an expression may call. Whether one is there for a value is known when it is evaluated."""

from typing import Final

FUNCTIONS: Final = frozenset((
    "size", "contains", "startsWith", "endsWith", "matches",
    "int", "uint", "double", "string", "bytes", "type", "dyn", "timestamp", "duration",
    "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
    "none", "of", "ofNonZeroValue", "or", "orValue", "value", "hasValue",
))  # fmt: skip
"""Their names, without what stands before a dot; loops and `has` are none of them."""
