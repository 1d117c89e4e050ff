"""Durations as people write them: `30s`, `5m`, `1h30m`, or seconds alone."""

import re
from datetime import timedelta
from typing import Final

import typer
from google.protobuf.duration_pb2 import Duration

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST: Final = 315_576_000_000
"""What a Duration may hold, in seconds."""
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str, option: str) -> timedelta:
    """A positive duration. Raises BadParameter naming the option and the form."""
    parts = _PART.findall(text)
    if text.replace(".", "", 1).isdecimal():
        seconds = float(text)
    elif parts and "".join(number + unit for number, unit in parts) == text:
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    else:
        raise typer.BadParameter(
            f"{text!r} is not a duration; write 30s, 5m, 1h30m, or seconds", param_hint=f"'{option}'"
        )
    if seconds <= 0:
        raise typer.BadParameter("a duration is more than nothing", param_hint=f"'{option}'")
    if seconds > _LONGEST:
        raise typer.BadParameter("a duration is ten thousand years at most", param_hint=f"'{option}'")
    return timedelta(seconds=seconds)


def duration_message(text: str | None, option: str = "--timeout") -> Duration | None:
    """What an option says, as a message; None where it is not given. Raises BadParameter."""
    if text is None:
        return None
    message = Duration()
    message.FromTimedelta(parse_duration(text, option))
    return message


def short_duration(value: timedelta) -> str:
    """A duration for people, in its two largest units: `0.35s`, `42s`, `3m20s`, `5h02m`, `3d4h`, `1d`."""
    seconds = max(0.0, value.total_seconds())
    if seconds < 10:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h{minutes:02}m" if minutes else f"{hours}h"
    if minutes:
        return f"{minutes}m{left:02}s" if left else f"{minutes}m"
    return f"{left}s"
