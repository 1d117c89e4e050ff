"""Manifests from files, and what a check has found in them."""

import pathlib
from collections.abc import Iterable

import typer

from perdure.cli.printing.words import one_line
from perdure.cli.request_file import named, read_text
from perdure.v1.playbooks_pb2 import ConvertPlaybookResponse, Diagnostic, PlaybookDocument, ValidatePlaybookResponse


def read_document(path: pathlib.Path, option: str = "--manifest-file") -> PlaybookDocument:
    """The manifest in a file; `-` is standard input. Raises BadParameter, naming the option that names the file."""
    text = read_text(path, option)
    if not text.strip():
        raise typer.BadParameter(f"{named(path)} is empty", param_hint=f"'{option}'")
    return PlaybookDocument(text=text.encode())


def show_diagnostics(found: ValidatePlaybookResponse) -> None:
    """Prints faults and doubts for people, each with its place."""
    _show("error", "red", found.errors)
    _show("warning", "yellow", found.warnings)


def show_conversion(converted: ConvertPlaybookResponse) -> None:
    """Prints for people what was not carried over, what became something else, and what is wrong with the result."""
    _show("lost", "red", converted.losses)
    _show("changed", "yellow", converted.changes)
    show_diagnostics(converted.review)


def _show(severity: str, colour: str, diagnostics: Iterable[Diagnostic]) -> None:
    for diagnostic in diagnostics:
        place = one_line(diagnostic.path) or "manifest"
        typer.secho(f"{severity}: ", fg=colour, err=True, nl=False)
        typer.echo(f"{place}: {one_line(diagnostic.reason)} ({diagnostic.code})", err=True)
