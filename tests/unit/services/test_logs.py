"""What this process writes about itself goes out without what is secret."""

import io
import sys
import traceback
from collections.abc import Callable

import pytest
import structlog

from perdure_executor.redaction import MARK, Redaction
from perdure_services import logs


@pytest.fixture
def covered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], io.StringIO]:
    """Makes both streams those of a process that knows one secret."""
    return lambda: _covered(monkeypatch)


def _covered(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    redaction = Redaction()
    redaction.add('open"sesame')
    logs.cover(redaction.text)
    return stream


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_log_line_a_print_and_a_traceback_are_redacted(covered: Callable[[], io.StringIO], log_format: str) -> None:
    written = covered()
    structlog.reset_defaults()
    logs.set_up(log_format, "info")

    structlog.get_logger("test").info("thing.happened", detail='open"sesame')
    print('it is open"sesame')  # noqa: T201  # as a function may
    try:
        raise ValueError('open"sesame')
    except ValueError:
        traceback.print_exc()

    assert written.getvalue().count(MARK) == 4  # a traceback shows its line, too
    assert "sesame" not in written.getvalue()
    assert "thing.happened" in written.getvalue()


def test_a_stream_that_is_covered_is_otherwise_as_it_was(covered: Callable[[], io.StringIO]) -> None:
    written = covered()
    assert sys.stdout.write("abc") == 3
    assert not sys.stdout.isatty()
    sys.stdout.flush()
    assert written.getvalue() == "abc"
