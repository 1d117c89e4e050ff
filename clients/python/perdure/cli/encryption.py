"""`perdure encryption`."""

import json
import os
import pathlib
import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from perdure.cli.connection import offline
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.lazy import noun
from perdure.cli.options import Output
from perdure.cli.payload_keys import KEYS, readable_keys
from perdure.cli.printing.formats import Format, print_document, print_rows
from perdure.encryption.codec import CannotDecrypt
from perdure.encryption.key_files import KeyFileUnusable, PayloadKeys, new_keys, write_keys

app = noun("Keys by which clients and executors encrypt what work is given and leaves; no server has them.")

STANDARD_INPUT: Final = pathlib.Path("-")

KeyFile = Annotated[
    pathlib.Path | None, typer.Argument(metavar="FILE", help=f"File with the keys; left out, the one in {KEYS}.")
]


@app.command()
@offline
def create(file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """Make a file with a new key, for its owner alone. Prints the key's id, and never the key."""
    path = _path(file)
    keys = new_keys(datetime.now(UTC))
    try:
        write_keys(path, keys, new=True)
    except FileExistsError:
        step = f"a new key beside those in it: perdure encryption rotate {path}"
        raise Refused(ExitCode.CONFLICT, "EXISTS", f"{path} is there already", step) from None
    except KeyFileUnusable as error:
        raise Refused(ExitCode.FAILURE, "NOT_WRITABLE", str(error)) from error
    _print(keys, output)


@app.command()
@offline
def rotate(file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """Add a new key, which encrypts from now on; those before it open what they have encrypted. Prints their ids."""
    path = _path(file)
    keys = readable_keys(path).rotated(datetime.now(UTC))
    try:
        write_keys(path, keys, new=False)
    except KeyFileUnusable as error:
        raise Refused(ExitCode.FAILURE, "NOT_WRITABLE", str(error)) from error
    _print(keys, output)


@app.command("list")
@offline
def list_keys(file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """List the ids of the keys in a file, and when each was made; the last one encrypts."""
    _print(readable_keys(_path(file)), output)


@app.command()
@offline
def decrypt(
    source: Annotated[
        pathlib.Path, typer.Argument(metavar="SOURCE", help="File with text or JSON; - reads standard input.")
    ] = STANDARD_INPUT,
    keys: Annotated[
        pathlib.Path | None, typer.Option("--keys", metavar="FILE", help=f"File with the keys, in place of {KEYS}.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Print a text, or JSON, with every value that is encrypted in it opened. It asks no server."""
    path = _path(keys)
    codec = readable_keys(path).codec(str(path))
    try:
        text = sys.stdin.read() if source == STANDARD_INPUT else source.read_text(encoding="utf-8")
        document: Any = json.loads(text)
        opened: Any = codec.opened(document)
    except OSError as error:
        raise typer.BadParameter(f"{source} cannot be read: {error.strerror}", param_hint="'SOURCE'") from error
    except CannotDecrypt as error:
        raise _cannot(error) from error
    except ValueError:
        _print_text(text, codec.open_text)
        return
    print_document(opened, Format.YAML if output is Format.YAML else Format.JSON)


def _print_text(text: str, open_text: Any) -> None:
    try:
        typer.echo(open_text(text), nl=False)
    except CannotDecrypt as error:
        raise _cannot(error) from error


def _cannot(error: CannotDecrypt) -> Refused:
    return Refused(ExitCode.FAILURE, "CANNOT_DECRYPT", str(error), "ask whoever encrypted it for the key of that id")


def _path(named: pathlib.Path | None) -> pathlib.Path:
    path = named or (pathlib.Path(os.environ[KEYS]) if os.environ.get(KEYS) else None)
    if path is None:
        raise typer.BadParameter(f"name the file, or set {KEYS}", param_hint="'FILE'")
    return path


def _print(keys: PayloadKeys, output: Format) -> None:
    current = keys.keys[-1].key_id
    listed = [{"id": one.key_id, "made": one.made, "encrypts": one.key_id == current} for one in keys.keys]
    if output is Format.TABLE:
        rows = [(str(one["id"]), str(one["made"]), "yes" if one["encrypts"] else "") for one in listed]
        print_rows(("KEY", "MADE", "ENCRYPTS"), rows)
    else:
        print_document({"keys": listed}, output)
