"""Logs: events with fields, on standard error, as text for people or one JSON object a line."""

import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

import structlog


class LossyStream:
    """A stream for a log. A line that it does not take, as its disk is full, its reader has gone or it is closed, is lost.

    Nothing else is: whoever had something to say goes on, and there is no other place to say it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Writes what the stream takes."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flushes what the stream takes."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class CoveredStream:
    """A stream of this process that what is secret does not go through, whoever writes: a log, a traceback, a function."""

    def __init__(self, stream: TextIO, redacted: Callable[[str], str]) -> None:
        self._stream = stream
        self._redacted = redacted

    def write(self, text: str) -> int:
        """Writes the text without what is secret."""
        self._stream.write(self._redacted(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def cover(redacted: Callable[[str], str]) -> None:
    """Covers both streams of this process; before its logs are set up."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is not None:
            setattr(sys, name, CoveredStream(getattr(sys, name), redacted))


def set_up(log_format: str, level: str) -> None:
    """Sets up logging for this process."""
    # Tracebacks without the values of variables: those may hold arguments, outputs and secrets.
    text = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = structlog.processors.JSONRenderer() if log_format == "json" else text
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if log_format == "json" else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
