"""The functions that an expression may call. Whether one is there for a value is known when it is evaluated."""

from typing import Final

SHORT: Final = frozenset((
    "size", "contains", "startsWith", "endsWith", "int", "uint", "double", "type", "timestamp", "duration",
    "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
))  # fmt: skip
"""Those that give a number, a time, or true or false."""

FUNCTIONS: Final = SHORT | {
    *("matches", "string", "bytes", "dyn"),
    *("none", "of", "ofNonZeroValue", "or", "orValue", "value", "hasValue"),
}
"""Their names, without what stands before a dot; loops and `has` are none of them."""
