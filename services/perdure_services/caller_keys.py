"""`perdure-server keys create`: makes the first key of a server whose callers must say who they are."""

import asyncio
import json
from dataclasses import dataclass

import typer

from perdure_control_plane.domain.api_key import ApiKey, KeyTexts
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import AlreadyExists
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.storage.postgres import PostgresStore
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.storage.store_broken import StoreBroken
from perdure_control_plane.usecases.create_key import NewKey, create_key
from perdure_services.settings import ControlPlaneSettings, SettingsInvalid
from perdure_services.stores import agreed_keys, store_of

OFFLINE = Caller(Principal("system/offline"), authenticated=True, role=Role.ADMIN, method="perdure-server keys create")
"""Whoever can write to the store and read the keys of its server."""


class NoKeys(Exception):
    """Callers must say who they are, and nobody could. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What key is to be made. `time_to_live` is in microseconds; 0: it does not expire."""

    name: str
    role: Role
    time_to_live: int
    output: str = "text"
    """"text" or "json"."""


async def require_key(store: SqliteStore | PostgresStore) -> None:
    """Raises NoKeys where no key is good."""
    if not await store.read(lambda tx: tx.keys.any_live(tx.now)):
        raise NoKeys(
            "authentication is required, and there is no key that a caller could give; make the first one:"
            " perdure-server keys create NAME --role admin"
        )


def make_key(settings: ControlPlaneSettings, wanted: Wanted) -> int:
    """Makes a key, prints it, and returns the exit code.

    Raises StoreBroken, also where a server holds a SQLite store; SchemaUnknown, KeysUnusable, and SettingsInvalid where
    the name is taken.
    """
    made, text = asyncio.run(new_key(settings, wanted))
    if wanted.output == "json":
        typer.echo(json.dumps({"name": made.name, "role": made.role.value.lower(), "text": text}, indent=2))
        return 0
    typer.echo(text)
    typer.echo(f"{made.name}, {made.role.value.lower()}: keep this text now, for it is not shown again", err=True)
    return 0


async def new_key(settings: ControlPlaneSettings, wanted: Wanted) -> tuple[ApiKey, str]:
    """Makes a key in the store, and returns it with its text. Raises as `make_key`."""
    store = store_of(settings)
    try:
        await store.open()
    except StoreBroken as error:
        raise StoreBroken(f"{error}. While a server runs on it, its keys are made with perdure keys create") from error
    try:
        texts = KeyTexts((await agreed_keys(store, settings)).callers)
        return await create_key(store, texts, OFFLINE, NewKey(wanted.name, wanted.role, wanted.time_to_live, ""))
    except AlreadyExists as error:
        raise SettingsInvalid(f"there is a key {wanted.name!r} already; choose another name") from error
    finally:
        await store.close()
