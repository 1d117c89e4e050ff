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
            rows = [("PROFILE", "SERVER", "KEY", "TLS", "USED")] if documents else []
            rows += [_row(document) for document in documents]
            widths = [max(len(row[column]) for row in rows) for column in range(5)] if rows else []
            for row in rows:
                cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
                typer.echo("  ".join(cells).rstrip())


def _document(name: str, kept: Profiles) -> dict[str, Any]:
    """What is shown of a profile; the keys are on the page about the command line, and stay."""
    shown = kept.by_name[name]
    about = {"name": name, "server": shown.server, "key": shown.key_words, "used": name == kept.current}
    tls = {"tls_ca": shown.tls_ca, "tls_certificate": shown.tls_certificate, "tls_key": shown.tls_key}
    return {**about, **tls, "encryption_keys": shown.encryption_keys}


def _row(document: dict[str, Any]) -> tuple[str, str, str, str, str]:
    used = "yes" if document["used"] else ""
    return document["name"], document["server"], document["key"], document["tls_ca"] or "none", used
