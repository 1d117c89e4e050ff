"""Manifests from files, and what a check has found in them."""

import pathlib

import typer

from perdure.cli.printing.words import one_line
from perdure.cli.request_file import named, read_text
from perdure.v1.playbooks_pb2 import PlaybookDocument, ValidatePlaybookResponse


def read_document(path: pathlib.Path, option: str = "--manifest-file") -> PlaybookDocument:
    """The manifest in a file; `-` is standard input. Raises BadParameter, naming the option that names the file."""
    text = read_text(path, option)
    if not text.strip():
        raise typer.BadParameter(f"{named(path)} is empty", param_hint=f"'{option}'")
    return PlaybookDocument(text=text.encode())


def show_diagnostics(found: ValidatePlaybookResponse) -> None:
    """Prints faults and doubts for people, each with its place."""
    for severity, colour, diagnostics in (("error", "red", found.errors), ("warning", "yellow", found.warnings)):
        for diagnostic in diagnostics:
            place = one_line(diagnostic.path) or "manifest"
            typer.secho(f"{severity}: ", fg=colour, err=True, nl=False)
            typer.echo(f"{place}: {one_line(diagnostic.reason)} ({diagnostic.code})", err=True)
