"""Moments as people write them."""

from datetime import UTC, datetime
from typing import Final

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NotAMoment(ValueError):
    """A text names no moment; the message says what one looks like."""


def moment(text: str) -> datetime:
    """The moment that a text in RFC 3339 names. Raises NotAMoment."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        read = None
    if read is None or read.tzinfo is None or read < EARLIEST:
        raise NotAMoment(f"{text[:60]!r} is no moment; one with its offset from UTC reads 2030-01-31T08:00:00Z")
    return read
