"""`perdure-server check`, `backup`, `restore`, `retention`, `keys`, `token-keys`: what is done to a store by no server.

Heavy imports wait until a command runs, so that help comes at once.
"""

import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from perdure.cli.lazy import noun
from perdure.cli.witness_options import Acknowledgements, Launches
from perdure_services.flags import (
    Apply,
    BackupDirectory,
    CheckCopy,
    Database,
    DataDir,
    Days,
    Force,
    KeyExpiry,
    KeyName,
    KeyRole,
    Output,
    Overwrite,
    SettingsFile,
    TokenKey,
    Verdicts,
    WithKeys,
    chosen,
)
from perdure_services.giving_up import give_up


def check(
    settings: SettingsFile = None,
    data_dir: DataDir = None,
    database: Database = None,
    acks: Acknowledgements = None,
    launches: Launches = None,
    output: Verdicts = "table",
) -> None:
    """Check a store: its logs against the rules they were written by, its tables against its logs, both against witnesses.

    Changes nothing, and a server may run on it meanwhile. Exit code 1 where a rule is broken.
    """
    from perdure.cli.printing.formats import Format
    from perdure.cli.witness_files import read_witnesses
    from perdure_services.check import check

    _require(output, list(Format))
    witnesses = read_witnesses(acks, launches)
    flags = {"data_dir": data_dir, "database": database}
    _do(settings, flags, lambda read: check(read, witnesses, Format(output)))


def backup(
    to: BackupDirectory,
    settings: SettingsFile = None,
    data_dir: DataDir = None,
    overwrite: Overwrite = False,
    keys: WithKeys = True,
    check: CheckCopy = True,
    output: Output = "text",
) -> None:
    """Copy a SQLite store and its keys into a directory, whole and as they are at one moment.

    A server may run on it meanwhile. The directory is made when everything in it is written and checked. Exit code 1
    where the store has faults.
    """
    from perdure_services.backup import Wanted, back_up

    wanted = Wanted(to, overwrite=overwrite, with_keys=keys, check=check, output=output)
    _require(output, ("text", "json"))
    _do(settings, {"data_dir": data_dir}, lambda read: back_up(read, wanted))


def restore(
    backup: BackupDirectory, settings: SettingsFile = None, data_dir: DataDir = None, output: Output = "text"
) -> None:
    """Put a backup into a data directory in which no store is.

    The next server that is started there notices it, and holds what may have had an effect since.
    """
    from perdure_services.restore import restore

    _require(output, ("text", "json"))
    _do(settings, {"data_dir": data_dir}, lambda read: restore(read, backup, output))


def retention(
    settings: SettingsFile = None,
    data_dir: DataDir = None,
    database: Database = None,
    days: Days = None,
    apply: Apply = False,
    output: Output = "text",
) -> None:
    """Say which flows ended so long ago that they can be deleted, with everything that is theirs.

    A server may run meanwhile, and does the same by itself (retention_days). With --apply they are deleted; a SQLite
    store may have no server then.
    """
    from perdure_services.retention import show_retention

    flags = {"data_dir": data_dir, "database": database}
    _require(output, ("text", "json"))
    _do(settings, flags, lambda read: show_retention(read, days, apply=apply, output=output))


keys = noun("Keys by which callers say who they are, made without a server.")


@keys.command()
def create(
    name: KeyName,
    role: KeyRole,
    expires_in: KeyExpiry = None,
    settings: SettingsFile = None,
    data_dir: DataDir = None,
    database: Database = None,
    output: Output = "text",
) -> None:
    """Make a key in the store, and print it: the first one, or one when all others are lost.

    On PostgreSQL servers may run meanwhile. A SQLite store belongs to its server while that runs: make further keys with
    perdure keys create, or stop it for a moment.
    """
    from perdure.cli.durations import parse_duration
    from perdure.runlog.instances import NAME
    from perdure_control_plane.domain.limits import SECOND
    from perdure_control_plane.domain.roles import Role
    from perdure_services.caller_keys import Wanted, make_key

    _require(output, ("text", "json"))
    roles = [one.value.lower() for one in Role]
    if role not in roles:
        raise typer.BadParameter(f"one of {', '.join(roles)}", param_hint="--role")
    if not NAME.fullmatch(name):
        raise typer.BadParameter("1 to 128 letters, digits, '.', '_' or '-'", param_hint="NAME")
    time_to_live = round(parse_duration(expires_in, "--expires-in").total_seconds() * SECOND) if expires_in else 0
    wanted = Wanted(name, Role(role.upper()), time_to_live, output)
    _do(settings, {"data_dir": data_dir, "database": database}, lambda read: make_key(read, wanted))


token_keys = noun(
    "Keys behind approval tokens: which there are, and how they are turned over. Servers may run meanwhile."
)


@token_keys.command("list")
def list_token_keys(
    settings: SettingsFile = None, data_dir: DataDir = None, database: Database = None, output: Output = "text"
) -> None:
    """List the keys, and how many open approvals may have tokens of each."""
    from perdure_services.token_keys import list_token_keys

    _require(output, ("text", "json"))
    _do(settings, {"data_dir": data_dir, "database": database}, lambda read: list_token_keys(read, output))


@token_keys.command()
def rotate(settings: SettingsFile = None, data_dir: DataDir = None, output: Output = "text") -> None:
    """Make a key, and new tokens with it. Tokens of the key before are good until it is dropped."""
    from perdure_services.token_keys import rotate_token_key

    _require(output, ("text", "json"))
    _do(settings, {"data_dir": data_dir}, lambda read: rotate_token_key(read, output))


@token_keys.command()
def add(settings: SettingsFile = None, data_dir: DataDir = None, output: Output = "text") -> None:
    """Make a key that is taken and not used yet: copy keys.json to every server of the database, then use it on each."""
    from perdure_services.token_keys import add_token_key

    _require(output, ("text", "json"))
    _do(settings, {"data_dir": data_dir}, lambda read: add_token_key(read, output))


@token_keys.command()
def use(key: TokenKey, settings: SettingsFile = None, data_dir: DataDir = None, output: Output = "text") -> None:
    """Make new tokens with a key that is there."""
    from perdure_services.token_keys import use_token_key

    _require(output, ("text", "json"))
    _do(settings, {"data_dir": data_dir}, lambda read: use_token_key(read, key, output))


@token_keys.command()
def drop(
    key: TokenKey,
    force: Force = False,
    settings: SettingsFile = None,
    data_dir: DataDir = None,
    database: Database = None,
    output: Output = "text",
) -> None:
    """Drop a key: no token of it is taken any more. Refused while open approvals may have one."""
    from perdure_services.token_keys import drop_token_key

    _require(output, ("text", "json"))
    flags = {"data_dir": data_dir, "database": database}
    _do(settings, flags, lambda read: drop_token_key(read, key, output, force=force))


def _require(output: str, formats: Sequence[str]) -> None:
    if output not in formats:
        raise typer.BadParameter(f"one of {', '.join(formats)}", param_hint="--output")


def _do(file: pathlib.Path | None, flags: dict[str, Any], work: Callable[[Any], int]) -> None:
    from perdure_services import interrupts, logs, process, programs

    try:
        read = programs.server_settings(chosen(file), flags)
        logs.set_up(read.log_format, read.log_level)
        with interrupts.interruptible():
            code = work(read)
    except programs.UNUSABLE as error:
        give_up(error)
    except interrupts.Interrupted as interrupted:
        give_up(interrupted, process.INTERRUPTED)
    except KeyboardInterrupt:
        give_up(interrupts.Interrupted("it was interrupted, and nothing was changed"), process.INTERRUPTED)
    sys.exit(code)
