"""Retention: flows that ended long ago are deleted beside what a server does, or by `perdure-server retention`."""

import asyncio
import datetime
import json
import time
from dataclasses import asdict, dataclass
from typing import Final

import structlog
import typer

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.retention import Outlook, Unpurged
from perdure_control_plane.storage.offline_reading import offline_reading
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.retain import retain
from perdure_services.interrupts import Interrupted
from perdure_services.settings import ControlPlaneSettings, SettingsInvalid
from perdure_services.stores import store_of
from perdure_services.unpurged import WHO_PURGES, unpurged_words

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 60
REST_SECONDS: Final = 0.02
"""Between two of its commits everybody else's go."""

TURN: Final = "retention"


async def retain_on(store: Store, settings: ControlPlaneSettings) -> None:
    """Looks once a minute, until it is cancelled; of several servers one looks. Ends at once where nothing is deleted."""
    if not settings.retention:
        return
    await asyncio.sleep(settings.sweep_seconds)
    while True:
        try:
            if await store.write(lambda tx: tx.upkeep.take_turn(TURN, tx.now, LOOK_SECONDS * SECOND)):
                await _retain_all(store, settings.retention)
        except StoreUnavailable as error:
            log.warning("retention.postponed", reason=str(error))
        except Exception:  # the next look finds whatever this one did not
            log.exception("retention.failed")
        await asyncio.sleep(LOOK_SECONDS)


async def _retain_all(store: Store, age: int) -> None:
    while not (retained := await retain(store, age, lambda: asyncio.sleep(REST_SECONDS))).is_done:
        log.info("runs.deleted", **asdict(retained))


def show_retention(settings: ControlPlaneSettings, days: float | None, *, apply: bool, output: str) -> int:
    """Says what would be deleted, or deletes it, and returns the exit code. `days` is the age; None: the settings'.

    Raises StoreBroken, also where a server holds a SQLite store that is to be changed; SchemaUnknown; SettingsInvalid; and
    Interrupted in the middle of deleting.
    """
    if days is None and not settings.retention:
        raise SettingsInvalid("retention_days: nothing is ever deleted by these settings; say how old with --days")
    age = settings.retention if days is None else round(days * 24 * 3600 * SECOND)
    seen = _look(settings, age)
    if apply:
        try:
            asyncio.run(_apply(settings, age))
        except KeyboardInterrupt:
            raise _interrupted(seen, _look(settings, age)) from None
    _PRINTERS[output](seen, age, apply)
    return 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What would be deleted, and what is left of what was deleted before."""

    outlook: Outlook
    unpurged: Unpurged


def _look(settings: ControlPlaneSettings, age: int) -> _Seen:
    def body(tx: SqlTransaction) -> _Seen:
        before = (tx.now or time.time_ns() // 1000) - age
        return _Seen(tx.retention.outlook(before), tx.retention.unpurged())

    database = settings.database.get_secret_value()
    if database:
        return asyncio.run(PostgresStore(database).inspect(body))
    with offline_reading(settings.data_dir) as transaction:
        return body(transaction)


async def _apply(settings: ControlPlaneSettings, age: int) -> None:
    store = store_of(settings)
    await store.open()
    try:
        await _retain_all(store, age)
    finally:
        await store.close()


def _interrupted(before: _Seen, now: _Seen) -> Interrupted:
    done = max(0, before.outlook.flows - now.outlook.flows)
    said = f"it was interrupted: {done} of {before.outlook.flows} flows were deleted"
    if now.unpurged.events:
        said += f", and {unpurged_words(now.unpurged)} still to be purged"
    return Interrupted(f"{said}. The same command again goes on, and so does a server that has retention_days")


def _print_text(seen: _Seen, age: int, applied: bool) -> None:
    _print_outlook(seen.outlook, age, applied)
    if seen.unpurged.events and applied:
        left = seen.unpurged
        typer.echo(f"{left.events} events of {left.runs} runs were purged, which had been deleted before.")
    elif seen.unpurged.events:
        typer.echo(f"{unpurged_words(seen.unpurged)} still to be purged: {WHO_PURGES}.")


def _print_outlook(outlook: Outlook, age: int, applied: bool) -> None:
    if not outlook.flows:
        typer.echo(f"No flow has been settled for {_days(age)} days.")
        return
    verb = "were deleted" if applied else "would be deleted"
    typer.echo(
        f"{outlook.flows} flows, settled for {_days(age)} days, {verb}: {outlook.runs} runs, {outlook.events} events,"
        f" {outlook.bytes} bytes; they ended from {_time(outlook.oldest_end_at)} to {_time(outlook.newest_end_at)}"
    )
    if not applied:
        typer.echo("Nothing was deleted; --apply deletes them.")


def _print_json(seen: _Seen, age: int, applied: bool) -> None:
    told = asdict(seen.outlook)
    ends = {f"{name}_end_time": _time(told.pop(f"{name}_end_at")) for name in ("oldest", "newest")}
    left = {f"unpurged_{name}": number for name, number in asdict(seen.unpurged).items()}
    typer.echo(json.dumps({"applied": applied, "days": age / SECOND / 24 / 3600, **told, **ends, **left}, indent=2))


def _days(age: int) -> str:
    return f"{age / SECOND / 24 / 3600:g}"


def _time(at: int) -> str:
    return f"{datetime.datetime.fromtimestamp(at // SECOND, datetime.UTC):%FT%TZ}" if at else ""


_PRINTERS: Final = {"text": _print_text, "json": _print_json}
