"""Moments as people write them: a time of RFC 3339, or how long ago."""

from datetime import UTC, datetime

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.cli.durations import parse_duration


def moment_message(text: str | None, option: str) -> Timestamp | None:
    """The moment that an option says; None where it is not given. Raises BadParameter."""
    if text is None:
        return None
    message = Timestamp()
    message.FromDatetime(_moment(text, option))
    return message


def _moment(text: str, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _ago(text, option)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ago(text: str, option: str) -> datetime:
    try:
        return datetime.now(UTC) - parse_duration(text, option)
    except (typer.BadParameter, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is no moment; write 2026-11-22T14:00:00Z, or how long ago, as 2h or 30d",
            param_hint=f"'{option}'",
        ) from error
