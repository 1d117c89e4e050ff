"""Profiles for people and for programs, without their keys."""

import json
from typing import Any

import typer

from perdure.cli.printing.formats import Format, as_yaml
from perdure.cli.profiles import Profiles


def print_profiles(names: list[str], kept: Profiles, output: Format) -> None:
    """Prints those of these names: one JSON object a line, or a row in a table."""
    documents = [_document(name, kept) for name in names]
    match output:
        case Format.JSON:
            for document in documents:
                typer.echo(json.dumps(document))
        case Format.YAML:
            typer.echo("---\n".join(as_yaml(document) for document in documents), nl=False)
        case Format.TABLE:
            rows = [("PROFILE", "SERVER", "KEY", "USED")] if documents else []
            rows += [(one["name"], one["server"], one["key"], "yes" if one["used"] else "") for one in documents]
            widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
            for row in rows:
                cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
                typer.echo("  ".join(cells).rstrip())


def _document(name: str, kept: Profiles) -> dict[str, Any]:
    """What is shown of a profile; the keys are on the page about the command line, and stay."""
    shown = kept.by_name[name]
    return {"name": name, "server": shown.server, "key": shown.key_words, "used": name == kept.current}
