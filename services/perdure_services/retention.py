"""Retention: flows that ended long ago are deleted beside what a server does, or by `perdure-server retention`."""

import asyncio
import datetime
import json
import time
from dataclasses import asdict
from typing import Final

import structlog
import typer

from perdure_control_plane.domain.errors import StoreUnavailable
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.retention import Outlook
from perdure_control_plane.storage.offline_reading import offline_reading
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.unit_of_work import SqlTransaction
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.retain import retain
from perdure_services.settings import ControlPlaneSettings, SettingsInvalid
from perdure_services.stores import store_of

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

    Raises StoreBroken, also where a server holds a SQLite store that is to be changed; SchemaUnknown; SettingsInvalid.
    """
    if days is None and not settings.retention:
        raise SettingsInvalid("retention_days: nothing is ever deleted by these settings; say how old with --days")
    age = settings.retention if days is None else round(days * 24 * 3600 * SECOND)
    outlook = _look(settings, age)
    if apply:
        asyncio.run(_apply(settings, age))
    _PRINTERS[output](outlook, age, apply)
    return 0


def _look(settings: ControlPlaneSettings, age: int) -> Outlook:
    def body(tx: SqlTransaction) -> Outlook:
        return tx.retention.outlook((tx.now or time.time_ns() // 1000) - age)

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


def _print_text(outlook: Outlook, age: int, applied: bool) -> None:
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


def _print_json(outlook: Outlook, age: int, applied: bool) -> None:
    told = asdict(outlook)
    ends = {f"{name}_end_time": _time(told.pop(f"{name}_end_at")) for name in ("oldest", "newest")}
    typer.echo(json.dumps({"applied": applied, "days": age / SECOND / 24 / 3600, **told, **ends}, indent=2))


def _days(age: int) -> str:
    return f"{age / SECOND / 24 / 3600:g}"


def _time(at: int) -> str:
    return f"{datetime.datetime.fromtimestamp(at // SECOND, datetime.UTC):%FT%TZ}" if at else ""


_PRINTERS: Final = {"text": _print_text, "json": _print_json}
