"""Flags of the programs: how each is written, and what it says for itself."""

import pathlib
from typing import Annotated, Final

import platformdirs
import typer

USUAL_FILE: Final = platformdirs.user_config_path("perdure") / "server.toml"
"""Where settings are looked for when no file is named."""

SettingsFile = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        envvar="PERDURE_SETTINGS",
        help=f"Settings file (TOML), with the tables [control_plane] and [executor]. Default: {USUAL_FILE}",
    ),
]
Host = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Address to listen at; beside loopback only with authentication, and TLS."),
]
Port = Annotated[
    int | None, typer.Option(metavar="PORT", help="Port to listen at; 0 chooses a free one. Default: 7400.")
]
DataDir = Annotated[
    pathlib.Path | None,
    typer.Option(metavar="DIRECTORY", help="Directory of the store and the keys. Default: .perdure"),
]
Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="PostgreSQL to keep everything in, postgresql://USER@HOST/DATABASE; any number of control planes may share "
        "one. A password belongs into the environment or the file. Default: SQLite in the data directory.",
    ),
]
Lease = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Time after which a silent executor loses its runs. Default: 30."),
]
Heartbeat = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Time between an executor's heartbeats. Default: 10.")
]
StopGrace = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Time an executor has to stop a run. Default: 10.")
]
Authentication = Annotated[
    str | None,
    typer.Option(
        metavar="WORD",
        help="none: whoever reaches it may do everything; required: callers must say who they are. Default: none.",
    ),
]
KeyFile = Annotated[
    pathlib.Path | None,
    typer.Option(metavar="FILE", help="File with the key that the server knows this executor by, where it asks."),
]
KeyName = Annotated[
    str, typer.Argument(metavar="NAME", help="What the key is called, and whoever calls with it.", show_default=False)
]
TokenKey = Annotated[str, typer.Argument(metavar="KEY", help="Id of a key, as token-keys list has it.")]
Force = Annotated[bool, typer.Option("--force", help="Also where open approvals may have tokens of it.")]
KeyRole = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="admin, author, operator, reviewer, executor, service or viewer.",
        show_default=False,
    ),
]
KeyExpiry = Annotated[
    str | None, typer.Option("--expires-in", metavar="DURATION", help="When it is good no longer: 90d. Default: never.")
]
Reflection = Annotated[bool | None, typer.Option(help="Let tools ask for the API's schema. Default: yes.")]
Server = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Address of the control plane. Default: 127.0.0.1:7400.")
]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The executor's name, stable over restarts. Default: the host's name."),
]
Slots = Annotated[int | None, typer.Option(metavar="NUMBER", help="Runs it works on at once. Default: 16.")]
Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", metavar="QUEUE", help="Queue it serves; repeat for more. Default: default."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="LABEL", help="What its place has that others have not, as gpu; repeat for more."),
]
Functions = Annotated[
    list[str] | None,
    typer.Option(
        "--functions",
        metavar="MODULE",
        help="Module, or file ending in .py, with a mapping FUNCTIONS; repeat for more.",
    ),
]
Providers = Annotated[
    list[str] | None,
    typer.Option("--provider", metavar="PROVIDER", help="Model provider it offers; repeat for more."),
]
PassVariables = Annotated[
    list[str] | None,
    typer.Option(
        "--pass-variable",
        metavar="NAME",
        help="Variable of its own environment that commands get; repeat for more.",
    ),
]
Workspace = Annotated[
    pathlib.Path | None,
    typer.Option(metavar="DIRECTORY", help="Directory that commands and agents start from. Default: this one."),
]
DrainSeconds = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Time running work has to end on a stop. Default: 30.")
]
LogFormat = Annotated[str | None, typer.Option(metavar="FORMAT", help="text or json. Default: text.")]
Output = Annotated[str, typer.Option("--output", "-o", metavar="FORMAT", help="text or json.")]
Verdicts = Annotated[str, typer.Option("--output", "-o", metavar="FORMAT", help="table, json or yaml.")]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error. Default: info.")]
BackupDirectory = Annotated[
    pathlib.Path, typer.Argument(metavar="BACKUP", help="Directory of the backup.", show_default=False)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a backup that is there already.")]
WithKeys = Annotated[
    bool,
    typer.Option("--keys/--no-keys", help="Copy the server's keys, too. Without them tokens given out are void later."),
]
CheckCopy = Annotated[
    bool,
    typer.Option("--check/--no-check", help="Check every log of the copy, and make no backup of a store with faults."),
]
Days = Annotated[
    float | None,
    typer.Option(
        "--days",
        min=0,
        metavar="NUMBER",
        help="How long ago they must have ended. Default: the setting retention_days.",
        show_default=False,
    ),
]
Apply = Annotated[bool, typer.Option("--apply", help="Delete them; without it they are only counted.")]


def chosen(named: pathlib.Path | None) -> pathlib.Path | None:
    """The settings file: the one that is named, or else the usual one where it is there."""
    return USUAL_FILE if named is None and USUAL_FILE.is_file() else named
