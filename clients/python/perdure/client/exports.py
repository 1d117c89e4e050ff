"""Exports: files of runs with their plans and their whole logs, which can be checked without a server.

A file is a sequence of ExportRecord messages, each after its length as a varint.
"""

from collections.abc import Iterator
from typing import IO, Final

from google.protobuf.message import DecodeError
from google.protobuf.proto import parse_length_prefixed, serialize_length_prefixed

from perdure.v1.exports_pb2 import ExportHeader, ExportRecord

FORM: Final = 1
"""Version of the file's form."""


class ExportUnreadable(ValueError):
    """The file is no export, or breaks off."""


def write_record(file: IO[bytes], **record: object) -> None:
    """Writes the next record; the one keyword names its kind."""
    serialize_length_prefixed(ExportRecord(**record), file)  # type: ignore[arg-type]  # a kind and its message


def read_records(file: IO[bytes]) -> Iterator[ExportRecord]:
    """Every record after the header. Raises ExportUnreadable."""
    header = _next(file)
    if header is None or not header.HasField("header"):
        raise ExportUnreadable("it does not begin as an export does")
    _require_form(header.header)
    while (record := _next(file)) is not None:
        yield record


def _require_form(header: ExportHeader) -> None:
    if header.form != FORM:
        raise ExportUnreadable(f"it is of form {header.form}, and this version reads form {FORM}")


def _next(file: IO[bytes]) -> ExportRecord | None:
    try:
        record: ExportRecord | None = parse_length_prefixed(ExportRecord, file)  # type: ignore[arg-type]  # reads any file
    except (DecodeError, ValueError) as error:
        raise ExportUnreadable(f"a record of it cannot be read: {error}") from error
    return record
