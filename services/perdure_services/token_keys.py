"""Keys behind approval tokens: read again when their file changes, and turned over by `perdure-server token-keys`."""

import asyncio
import contextlib
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import structlog
import typer

from perdure_control_plane.domain.approval import TokenKeys
from perdure_control_plane.storage.offline_reading import offline_reading
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_services.keys import (
    FILE,
    KeysUnusable,
    ServerKeys,
    load_keys,
    new_token_key,
    read_key_file,
    write_key_file,
)
from perdure_services.settings import ControlPlaneSettings, SettingsInvalid

log = structlog.get_logger(__name__)


class LiveKeys:
    """The keys of a running server. Where the file is changed to something that cannot be used, the keys before stay."""

    def __init__(self, directory: pathlib.Path, own: ServerKeys) -> None:
        self._directory = directory
        self._own = own
        self._seen = _mark(directory)

    @property
    def own(self) -> ServerKeys:
        """All of them, as the file has them now."""
        now = _mark(self._directory)
        if now != self._seen:
            self._seen = now
            try:
                found = load_keys(self._directory) if now is not None else None
            except KeysUnusable as error:
                found = None
                log.warning("keys.not_read_again", reason=str(error))
            if found is not None:
                self._own = found
                log.info("keys.read_again", current=found.approvals.current, keys=len(found.approvals.secrets))
        return self._own

    def tokens(self) -> TokenKeys:
        """Those behind approval tokens."""
        return self.own.approvals


def _mark(directory: pathlib.Path) -> tuple[int, int] | None:
    try:
        found = (directory / FILE).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def list_token_keys(settings: ControlPlaneSettings, output: str) -> int:
    """Prints which keys there are, never what they are. Raises KeysUnusable, StoreBroken, SchemaUnknown."""
    stored = _stored(settings.data_dir / FILE)
    rows = [_told(settings, stored, key_id) for key_id in stored["approvals"]]
    if output == "json":
        typer.echo(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        stands = "current" if row["current"] else f"{row['open_approvals']} open approvals may have tokens of it"
        typer.echo(f"{row['key_id']}  {stands}")
    return 0


def rotate_token_key(settings: ControlPlaneSettings, output: str) -> int:
    """Makes a key, and new tokens with it from now on. Raises KeysUnusable."""
    return _use(settings, add(settings), output)


def add_token_key(settings: ControlPlaneSettings, output: str) -> int:
    """Makes a key that is taken and not used yet, for servers that have their files apart. Raises KeysUnusable."""
    _print(output, add(settings), "is taken from now on; use it when every server has it")
    return 0


def use_token_key(settings: ControlPlaneSettings, key_id: str, output: str) -> int:
    """Makes new tokens with a key from now on. Raises KeysUnusable, SettingsInvalid."""
    return _use(settings, key_id, output)


def drop_token_key(settings: ControlPlaneSettings, key_id: str, output: str, *, force: bool) -> int:
    """Takes no tokens of a key any more. Raises KeysUnusable, StoreBroken, SchemaUnknown, and SettingsInvalid where it is
    the current one, or open approvals may have tokens of it."""
    with _changing(settings) as stored:
        _check_known(stored, key_id)
        if stored["current"] == key_id:
            raise SettingsInvalid(f"{key_id} is the current key; rotate first")
        left = _open_since(settings, stored, key_id)
        if left and not force:
            raise SettingsInvalid(
                f"{left} open approvals may have been shown with tokens of {key_id}; wait until they are closed, or say"
                " --force: whoever looks at one again has a token of the current key"
            )
        del stored["approvals"][key_id]
        stored.get("retired", {}).pop(key_id, None)
    _print(output, key_id, "is dropped: no token of it is taken any more")
    return 0


def add(settings: ControlPlaneSettings) -> str:
    """Makes a key in the file and returns its id. Raises KeysUnusable."""
    key_id, secret = new_token_key()
    with _changing(settings) as stored:
        stored["approvals"][key_id] = secret
    return key_id


def _use(settings: ControlPlaneSettings, key_id: str, output: str) -> int:
    with _changing(settings) as stored:
        _check_known(stored, key_id)
        if stored["current"] != key_id:
            retired = stored.setdefault("retired", {})
            retired[stored["current"]] = time.time_ns() // 1000
            retired.pop(key_id, None)
            stored["current"] = key_id
    _print(output, key_id, "is the current key; tokens of those before are taken until they are dropped")
    return 0


def _stored(path: pathlib.Path) -> dict[str, Any]:
    """What the file holds; none is made. Raises KeysUnusable."""
    if not path.exists():
        raise KeysUnusable(f"there is no {path}; a server makes it when it first starts in that directory")
    load_keys(path.parent)  # that the file is one
    return read_key_file(path)


@contextlib.contextmanager
def _changing(settings: ControlPlaneSettings) -> Iterator[dict[str, Any]]:
    """What the file holds, written again at the end if nothing is raised; whoever else changes it waits. Raises
    KeysUnusable."""
    path = settings.data_dir / FILE
    with _locked(path.parent):
        stored = _stored(path)
        yield stored
        write_key_file(path, stored)


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise KeysUnusable(f"{directory} cannot be read: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_known(stored: dict[str, Any], key_id: str) -> None:
    if key_id not in stored["approvals"]:
        raise SettingsInvalid(f"there is no key {key_id}; there are {', '.join(stored['approvals'])}")


def _told(settings: ControlPlaneSettings, stored: dict[str, Any], key_id: str) -> dict[str, Any]:
    is_current = stored["current"] == key_id
    left = 0 if is_current else _open_since(settings, stored, key_id)
    return {"key_id": key_id, "current": is_current, "open_approvals": left}


def _open_since(settings: ControlPlaneSettings, stored: dict[str, Any], key_id: str) -> int:
    """How many open approvals may have been shown with a token of a key: those that are older than its retirement."""
    retired_at = stored.get("retired", {}).get(key_id, 0)

    def body(tx: SqlTransaction) -> int:
        return tx.approvals.count_open(asked_before=retired_at)

    database = settings.database.get_secret_value()
    if database:
        return asyncio.run(PostgresStore(database).inspect(body))
    with offline_reading(settings.data_dir) as transaction:
        return body(transaction)


def _print(output: str, key_id: str, line: str) -> None:
    typer.echo(json.dumps({"key_id": key_id}, indent=2) if output == "json" else f"{key_id} {line}")
