"""`perdure-server restore`: puts a backup into a data directory in which no store is."""

import contextlib
import pathlib
import shutil
from typing import Final

import typer

from perdure_control_plane.storage.migrate import require_known_schema
from perdure_control_plane.storage.sqlite import DATABASE, LOCK, lock_directory
from perdure_services import keys
from perdure_services.backup import POSTGRES_HAS_ITS_OWN
from perdure_services.backup_manifest import (
    BackupManifest,
    BackupUnusable,
    CopiedFile,
    digest_of,
    read_manifest,
    sync,
)
from perdure_services.settings import ControlPlaneSettings

UNFINISHED: Final = ".restoring"
"""What the name of a file ends with until it is whole and its digest is the manifest's."""

NO_STORE: Final = (LOCK, keys.FILE, "lost+found")
"""What may be in a directory that no store is in."""


def restore(settings: ControlPlaneSettings, backup: pathlib.Path, output: str) -> int:
    """Puts a backup into the settings' data directory, whole or not at all, and returns the exit code.

    Raises StoreBroken where a server runs there, SchemaUnknown, BackupUnusable.
    """
    if settings.database.get_secret_value():
        raise BackupUnusable(POSTGRES_HAS_ITS_OWN)
    manifest = read_manifest(backup)
    require_known_schema(manifest.schema_version)
    try:
        _fill(settings.data_dir, backup, manifest)
    except OSError as error:
        raise BackupUnusable(
            f"{settings.data_dir} cannot be written, or {backup} not read: {error.strerror}"
        ) from error
    _say(manifest, settings.data_dir, output)
    return 0


def _fill(directory: pathlib.Path, backup: pathlib.Path, manifest: BackupManifest) -> None:
    is_new = not directory.exists()
    if not is_new and not (directory / LOCK).exists():
        _require_free(directory, backup)  # before anything is left there
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    # No server starts in the directory while it is filled.
    with lock_directory(directory):
        try:
            _require_free(directory, backup)
            _copy_all(directory, backup, manifest)
        except BaseException:
            if is_new:
                with contextlib.suppress(OSError):  # what somebody else has put there stays
                    (directory / LOCK).unlink()
                    directory.rmdir()
            raise


def _copy_all(directory: pathlib.Path, backup: pathlib.Path, manifest: BackupManifest) -> None:
    try:
        for file in manifest.files:
            _copy(backup / file.name, directory / f"{file.name}{UNFINISHED}", file)
        # The database comes last: where it is, everything is.
        for file in sorted(manifest.files, key=lambda file: file.name == DATABASE):
            (directory / f"{file.name}{UNFINISHED}").rename(directory / file.name)
        sync(directory)
    finally:
        for path in directory.glob(f"*{UNFINISHED}"):
            path.unlink()


def _require_free(directory: pathlib.Path, backup: pathlib.Path) -> None:
    """Raises BackupUnusable where there is a store, or keys that are others than the backup's."""
    found = sorted(path.name for path in directory.iterdir() if path.suffix != UNFINISHED)
    others = [name for name in found if name not in NO_STORE]
    if others:
        raise BackupUnusable(
            f"{directory} is not empty ({', '.join(others[:3])}); nothing is restored over what is there:"
            " move it away, or name another directory with --data-dir"
        )

    there, new = directory / keys.FILE, backup / keys.FILE
    if there.exists() and new.exists() and there.read_bytes() != new.read_bytes():
        raise BackupUnusable(f"{there} has other keys than the backup; move it away, or name another directory")


def _copy(source: pathlib.Path, target: pathlib.Path, said: CopiedFile) -> None:
    if not source.is_file():
        raise BackupUnusable(f"{source} is missing, which the backup's manifest names; use another backup")
    shutil.copyfile(source, target)
    target.chmod(0o600)
    if digest_of(target) != said.sha256:
        raise BackupUnusable(f"{source} is not what the backup's manifest says; it is damaged: use another backup")
    sync(target)


def _say(manifest: BackupManifest, directory: pathlib.Path, output: str) -> None:
    if output == "json":
        typer.echo(manifest.model_dump_json(indent=2))
        return
    typer.echo(
        f"{directory}: {manifest.runs} runs, {manifest.events} events, as they were at {manifest.made_at:%FT%TZ}"
    )
    typer.echo(
        f"A server that is started on it begins generation {manifest.generation + 1}: leases are void, and what may"
        " have had an effect since is held until somebody has compared it with the world outside."
    )
    if not (directory / keys.FILE).exists():
        typer.echo(f"No keys are in it: put {keys.FILE} there before a server starts, or tokens given out are void.")
