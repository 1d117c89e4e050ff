"""The store that the settings name, and how a server begins its life in it."""

import hashlib
import os
import time

import structlog

from perdure_control_plane.domain.credential import Purpose, ServerCredential
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.postgres_hosts import database_url
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.storage.store_broken import StoreBroken
from perdure_control_plane.usecases.open_store_life import StoreLife, open_store_life
from perdure_services.keys import KeysUnusable, ServerKeys, load_keys
from perdure_services.settings import ControlPlaneSettings
from perdure_services.starts import read_starts, write_starts

log = structlog.get_logger(__name__)


def store_of(settings: ControlPlaneSettings) -> SqliteStore | PostgresStore:
    """The store, not open yet. Raises StoreBroken where the data directory cannot be made."""
    database = settings.database.get_secret_value()
    if not database:
        return SqliteStore(settings.data_dir, lambda: time.time_ns() // 1000)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        reason = f"cannot be used: {error.strerror}; name one that may be made and written"
        raise StoreBroken(f"the data directory {settings.data_dir} {reason}") from error
    return PostgresStore(database)


async def begin_life(store: SqliteStore | PostgresStore, settings: ControlPlaneSettings) -> StoreLife:
    """Counts a start of the store, and finds out whether it went back. Raises StartsUnusable."""
    if isinstance(store, PostgresStore):
        life = await open_store_life(store, None)
    else:
        life = await open_store_life(store, read_starts(settings.data_dir))
        write_starts(settings.data_dir, life.mark.starts)
    say_life(life)
    return life


def database_credential(settings: ControlPlaneSettings) -> list[ServerCredential]:
    """Whether there is a password for the database; nothing where it is a file."""
    database = settings.database.get_secret_value()
    if not database:
        return []
    is_present = bool(database_url(database).password) or bool(os.environ.get("PGPASSWORD"))
    return [ServerCredential(Purpose.DATABASE, "", is_present, is_present, 0)]


def say_life(life: StoreLife) -> None:
    """Logs that a store went back, and what is held for it."""
    if life.restored:
        log.warning("store.restored", generation=life.mark.generation)
    for run_id in life.held:
        log.warning("run.held", run=run_id, reason="STORE_RESTORED")


async def agreed_keys(store: SqliteStore | PostgresStore, settings: ControlPlaneSettings) -> ServerKeys:
    """The keys in the data directory; all servers of a database have the same. Raises KeysUnusable.

    A token that one of them made would be refused by the others. A SQLite store has one server alone.
    """
    keys = load_keys(settings.data_dir)
    if isinstance(store, SqliteStore):
        return keys
    fingerprint = hashlib.sha256(b"keys of " + keys.pages).hexdigest()[:16]
    if not await store.write(lambda tx: tx.copy.agree_on_keys(fingerprint)):
        raise KeysUnusable(
            f"{settings.data_dir / 'keys.json'} is not that of the other servers on this database; copy theirs."
            " Where it is lost, stop them all, empty `keys_fingerprint` in the table `store`, and start with this one:"
            " tokens of open approvals are void then"
        )
    return keys
