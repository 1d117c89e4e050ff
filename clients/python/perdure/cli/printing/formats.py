"""Prints data to standard output: as tables for people, as JSON or YAML for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, cast

import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from perdure.cli.printing.descriptions import EITHER_WAY, describe
from perdure.cli.printing.opening import opened
from perdure.cli.printing.tables import columns_of

WIDE: Final = 100_000
"""Columns of a table at most: a name that is cut cannot be copied or searched for."""

_OURS: Final = "perdure.v1"

STYLES: Final = {
    **dict.fromkeys(("succeeded", "completed", "approved", "active", "live", "ok"), "green"),
    **dict.fromkeys(("failed", "expired", "timed out", "rejected", "revoked", "gone", "violated"), "red"),
    **dict.fromkeys(("waiting", "paused", "open", "draft", "interrupted", "not checked", "checked in part"), "yellow"),
    **dict.fromkeys(("running", "queued", "verified", "canary"), "cyan"),
}
"""Colours of words that say how something stands."""


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def print_one(message: Message, format: Format) -> None:
    """Prints one thing."""
    message = opened(message)
    match format:
        case Format.TABLE:
            typer.echo("\n".join(describe(message, datetime.now(UTC))))
        case _:
            print_document(as_dict(message), format)


def print_document(document: Any, format: Format) -> None:
    """Prints a document for programs."""
    if format is Format.YAML:
        typer.echo(as_yaml(document), nl=False)
    else:
        typer.echo(json.dumps(document, indent=2))


def print_brief(message: Message, format: Format) -> None:
    """Prints one thing that people have just seen, or can look at: as one row for them, whole for programs."""
    if format is Format.TABLE:
        _print_table([opened(message)])
    else:
        print_one(message, format)


def print_list(messages: Sequence[Message], format: Format) -> None:
    """Prints several things of one kind; nothing at all where there are none, but for a note to people."""
    if format is Format.TABLE and messages:
        _print_table([opened(message) for message in messages])
    elif format is not Format.TABLE:
        for message in messages:
            print_item(message, format, str)
    else:
        typer.echo("none", err=True)


def print_item(message: Message, format: Format, line: Callable[[Any], str]) -> None:
    """Prints one piece of a stream as soon as it is there; `line` says it to people."""
    message = opened(message)
    match format:
        case Format.TABLE:
            typer.echo(line(message))
        case Format.JSON:
            typer.echo(json.dumps(as_dict(message)))
        case Format.YAML:
            typer.echo(f"---\n{as_yaml(as_dict(message))}", nl=False)


def as_dict(message: Message) -> dict[str, Any]:
    """A message as proto JSON, its fields named as in the proto; answers that are no are said, too."""
    document = MessageToDict(message, preserving_proto_field_name=True)
    _say_no(message, document)
    return document


def _say_no(message: Message, document: dict[str, Any]) -> None:
    """Adds the answers that are no, which proto JSON leaves out."""
    for field in cast("Iterable[FieldDescriptor]", message.DESCRIPTOR.fields):
        if field.name in EITHER_WAY:
            document.setdefault(field.name, False)
        elif field.name in document and _is_ours(field):
            values, documents = getattr(message, field.name), document[field.name]
            for value, inner in zip(values, documents, strict=True) if field.is_repeated else [(values, documents)]:
                _say_no(value, inner)


def _is_ours(field: FieldDescriptor) -> bool:
    """Whether a field holds messages of ours; the entries of a map are none."""
    message = field.message_type
    return message is not None and message.file.package == _OURS and not message.GetOptions().map_entry


def as_yaml(document: Any) -> str:
    """A document as YAML."""
    import yaml  # type: ignore[import-untyped]  # its types are a distribution of their own

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def _print_table(messages: Sequence[Message]) -> None:
    now = datetime.now(UTC)
    columns = columns_of(messages[0])
    print_rows(
        [column.header for column in columns],
        [[column.value(message, now) for column in columns] for message in messages],
    )


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows of values under their headers, for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(value, style=STYLES.get(value, "")) for value in row))
    console = Console(file=sys.stdout, width=WIDE)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
