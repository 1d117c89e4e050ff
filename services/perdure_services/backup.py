"""`perdure-server backup`: a copy of a SQLite store and its keys, while a server may run on it."""

import contextlib
import pathlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import typer
from rich.console import Console
from rich.progress import Progress

from perdure.cli.exit_codes import ExitCode
from perdure.cli.printing.words import counted
from perdure.cli.verdicts import Examined, violation_lines
from perdure_control_plane.storage.offline_reading import offline_reading
from perdure_control_plane.storage.sqlite import DATABASE
from perdure_control_plane.storage.sqlite_copy import copy_database
from perdure_control_plane.storage.store_facts import StoreFacts, store_facts
from perdure_services import keys
from perdure_services.backup_manifest import (
    BackupManifest,
    BackupUnusable,
    copied,
    now,
    read_manifest,
    sync,
    write_manifest,
)
from perdure_services.check import examine
from perdure_services.partial_backups import partial_beside, put_in_place
from perdure_services.settings import ControlPlaneSettings
from perdure_services.unpurged import tell_unpurged

POSTGRES_HAS_ITS_OWN: Final = (
    "a store on PostgreSQL is copied and put back with PostgreSQL's own programs, pg_dump and pg_restore,"
    " as the page on operating shows"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a backup is to be."""

    to: pathlib.Path
    """The directory that becomes the backup."""
    overwrite: bool
    """Whether a backup that is there already is replaced."""
    with_keys: bool
    check: bool
    """Whether every log of the copy is checked; without it a store with faults can be copied."""
    output: str
    """"text" or "json"."""


def back_up(settings: ControlPlaneSettings, wanted: Wanted) -> int:
    """Makes a backup, whole or not at all, and returns the exit code: 1 where the store has faults, and nothing is kept.

    Raises StoreBroken, SchemaUnknown, BackupUnusable.
    """
    if settings.database.get_secret_value():
        raise BackupUnusable(POSTGRES_HAS_ITS_OWN)
    _require_free(wanted)
    with partial_beside(wanted.to) as partial:
        with _progress("copying") as tell:
            copy_database(settings.data_dir, partial / DATABASE, tell)
        if wanted.with_keys:
            _copy_keys(settings.data_dir, partial)
        facts, examined = _look(partial, check=wanted.check)
        if examined.violations:
            for line in violation_lines(examined):
                typer.echo(line, err=True)
            typer.echo(
                f"perdure-server: the store has {counted(len(examined.violations), 'fault')}, and no backup was made;"
                " --no-check makes one of it as it is",
                err=True,
            )
            return ExitCode.FAILURE
        manifest = _manifest(partial, facts, checked=wanted.check)
        write_manifest(partial, manifest)
        _write_through(partial)
        put_in_place(partial, wanted.to)
    _say(manifest, wanted)
    tell_unpurged(facts.unpurged)
    return ExitCode.OK


def _require_free(wanted: Wanted) -> None:
    if not wanted.to.exists():
        return
    if not wanted.overwrite:
        raise BackupUnusable(f"{wanted.to} is there already; name another directory, or replace it with --overwrite")
    read_manifest(wanted.to)  # nothing but a backup is ever replaced


def _copy_keys(data_dir: pathlib.Path, partial: pathlib.Path) -> None:
    if not (data_dir / keys.FILE).is_file():
        raise BackupUnusable(f"{data_dir / keys.FILE} does not exist; make a backup of the database alone: --no-keys")
    shutil.copy(data_dir / keys.FILE, partial)


def _look(partial: pathlib.Path, *, check: bool) -> tuple[StoreFacts, Examined]:
    with offline_reading(partial) as transaction:
        facts = store_facts(transaction)
        return facts, examine(transaction) if check else Examined()


def _manifest(partial: pathlib.Path, facts: StoreFacts, *, checked: bool) -> BackupManifest:
    return BackupManifest(
        made_at=now(),
        server_version=version("perdure-server"),
        schema_version=facts.schema,
        generation=facts.generation,
        starts=facts.starts,
        runs=facts.runs,
        events=facts.events,
        checked=checked,
        files=tuple(copied(path) for path in sorted(partial.iterdir())),
    )


def _write_through(partial: pathlib.Path) -> None:
    for path in partial.iterdir():
        path.chmod(0o600)
        sync(path)
    sync(partial)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how far something is; elsewhere nothing."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what)
        yield lambda done, whole: progress.update(task, completed=done, total=whole)


def _say(manifest: BackupManifest, wanted: Wanted) -> None:
    if wanted.output == "json":
        typer.echo(manifest.model_dump_json(indent=2))
        return
    size = sum(file.bytes for file in manifest.files)
    verdict = "sound" if manifest.checked else "not checked"
    typer.echo(
        f"{wanted.to}: {manifest.runs} runs, {manifest.events} events: {verdict};"
        f" {size} bytes, generation {manifest.generation}"
    )
    if manifest.has(keys.FILE):
        typer.echo("The server's keys are in it: who can read them can make tokens that decide approvals.")
    else:
        typer.echo(
            f"The server's keys are not in it; without them tokens that were given out are void: keep {keys.FILE}"
        )
