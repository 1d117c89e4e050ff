"""Manifests from files, and what a check has found in them."""

import contextlib
import pathlib
import shlex
from collections.abc import Iterable

import typer

from perdure.cli.json_text import named, read_text
from perdure.cli.new_files import making, new_file
from perdure.cli.printing.words import one_line
from perdure.v1.playbooks_pb2 import (
    ConvertedPlaybook,
    ConvertPlaybookResponse,
    Diagnostic,
    PlaybookDocument,
    ValidatePlaybookResponse,
)


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


def write_conversion(
    converted: ConvertPlaybookResponse, out: pathlib.Path | None, folder: pathlib.Path | None
) -> list[pathlib.Path]:
    """Writes what was made into a file, or each into one of a folder, and names them in the order to store them in.

    Raises Refused where one is there already or cannot be made, and leaves nothing of the others then.
    """
    if not converted.HasField("document"):
        return []
    wanted = {} if out is None else {out: converted.document}
    if folder is not None:
        wanted = {folder / f"{made.review.playbook_id}.yaml": made.document for made in _all(converted)}
        with making(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as undoing:
        for path, document in wanted.items():
            with new_file(path) as file:
                file.write(document.text)
            undoing.callback(path.unlink)
        undoing.pop_all()
    return list(wanted)


def show_conversion(converted: ConvertPlaybookResponse, written: list[pathlib.Path]) -> None:
    """Prints for people what was not carried over, what became something else, and what is wrong with the result; then
    the manifests, or how those that were written are stored."""
    _show("lost" if converted.HasField("document") else "error", "red", converted.losses, "document")
    _show("changed", "yellow", converted.changes)
    for made in _all(converted):
        show_diagnostics(made.review)
    if not written:
        texts = [made.document.text.decode() for made in _all(converted)]
        typer.echo("---\n".join(texts), nl=False)
    elif len(written) > 1:
        typer.echo("store and publish them in this order:", err=True)
        for path in written:
            typer.echo(f"perdure playbooks create --manifest-file {shlex.quote(str(path))}", err=True)


def _all(converted: ConvertPlaybookResponse) -> list[ConvertedPlaybook]:
    """Every playbook that was made, in the order in which they are stored."""
    if not converted.HasField("document"):
        return []
    return [*converted.children, ConvertedPlaybook(document=converted.document, review=converted.review)]


def _show(severity: str, colour: str, diagnostics: Iterable[Diagnostic], whole: str = "manifest") -> None:
    for diagnostic in diagnostics:
        place = one_line(diagnostic.path) or whole
        typer.secho(f"{severity}: ", fg=colour, err=True, nl=False)
        typer.echo(f"{place}: {one_line(diagnostic.reason)} ({diagnostic.code})", err=True)
