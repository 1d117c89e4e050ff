"""`perdure-server`: starts the programs.

Heavy imports wait until a program is chosen, so that help comes at once.
"""

import asyncio
import pathlib
import sys
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="perdure-server",
    help="Starts Perdure's programs. Every setting can be a flag, an environment variable, or in a TOML file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SETTINGS = "Settings file (TOML), with the tables [control_plane] and [executor]. Flags and environment win over it."
UNUSABLE = 2
"""Exit code for settings, data or keys that cannot be used as they are."""

SettingsFile = Annotated[pathlib.Path | None, typer.Option("--settings", help=SETTINGS, envvar="PERDURE_SETTINGS")]
Host = Annotated[
    str | None, typer.Option(help="Address to listen at. Only loopback: callers are not asked who they are.")
]
Port = Annotated[int | None, typer.Option(help="Port to listen at; 0 chooses a free one. Default: 7400.")]
DataDir = Annotated[pathlib.Path | None, typer.Option(help="Directory of the store and the keys. Default: .perdure")]
Lease = Annotated[float | None, typer.Option(help="Seconds after which a silent executor loses its runs. Default: 30.")]
Heartbeat = Annotated[float | None, typer.Option(help="Seconds between an executor's heartbeats. Default: 10.")]
StopGrace = Annotated[float | None, typer.Option(help="Seconds an executor has to stop a run. Default: 10.")]
Reflection = Annotated[bool | None, typer.Option(help="Let tools ask for the API's schema. Default: yes.")]
Server = Annotated[str | None, typer.Option(help="Address of the control plane. Default: 127.0.0.1:7400.")]
Name = Annotated[str | None, typer.Option(help="The executor's name, stable over restarts. Default: the host's name.")]
Slots = Annotated[int | None, typer.Option(help="Runs it holds at once. Default: 16.")]
Queues = Annotated[
    list[str] | None, typer.Option("--queue", help="Queue it serves; repeat for more. Default: default.")
]
Functions = Annotated[
    list[str] | None,
    typer.Option("--functions", help="Module, or file ending in .py, with a mapping FUNCTIONS; repeat for more."),
]
Providers = Annotated[list[str] | None, typer.Option("--provider", help="Model provider it offers; repeat for more.")]
Workspace = Annotated[
    pathlib.Path | None, typer.Option(help="Directory that commands and agents start from. Default: this one.")
]
DrainSeconds = Annotated[float | None, typer.Option(help="Seconds running work has to end on a stop. Default: 30.")]
LogFormat = Annotated[str | None, typer.Option(help="text or json. Default: text.")]
CheckOutput = Annotated[str, typer.Option("--output", "-o", help="text or json.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error. Default: info.")]


@app.command()
def up(
    settings: SettingsFile = None,
    port: Port = None,
    data_dir: DataDir = None,
    functions: Functions = None,
    providers: Providers = None,
    workspace: Workspace = None,
    slots: Slots = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Start a control plane and an executor in one process, on loopback, with SQLite."""
    logs = {"log_format": log_format, "log_level": log_level}
    server = {"port": port, "data_dir": data_dir, **logs}
    work = {"functions": _words(functions), "providers": _words(providers), "workspace": workspace, "slots": slots}
    _start("all_in_one", settings, server, {**work, **logs})


@app.command("control-plane")
def control_plane(
    settings: SettingsFile = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    lease_seconds: Lease = None,
    heartbeat_seconds: Heartbeat = None,
    stop_grace_seconds: StopGrace = None,
    reflection: Reflection = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Start a control plane: playbooks, flows, runs and approvals, with SQLite in its data directory."""
    given = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "lease_seconds": lease_seconds,
        "heartbeat_seconds": heartbeat_seconds,
        "stop_grace_seconds": stop_grace_seconds,
        "reflection": reflection,
        "log_format": log_format,
        "log_level": log_level,
    }
    _start("control_plane", settings, given, {})


@app.command()
def executor(
    settings: SettingsFile = None,
    server: Server = None,
    name: Name = None,
    slots: Slots = None,
    queues: Queues = None,
    functions: Functions = None,
    providers: Providers = None,
    workspace: Workspace = None,
    drain_seconds: DrainSeconds = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Start an executor: it takes runs from a control plane and does their work."""
    given = {
        "server": server,
        "name": name,
        "slots": slots,
        "queues": _words(queues),
        "functions": _words(functions),
        "providers": _words(providers),
        "workspace": workspace,
        "drain_seconds": drain_seconds,
        "log_format": log_format,
        "log_level": log_level,
    }
    _start("executor", settings, {}, given)


@app.command()
def check(settings: SettingsFile = None, data_dir: DataDir = None, output: CheckOutput = "text") -> None:
    """Check a store: its logs against the rules they were written by, its tables against its logs.

    A server may run on it meanwhile. Exit code 1 where something is wrong.
    """
    from perdure_services import programs
    from perdure_services.check import check

    if output not in ("text", "json"):
        raise typer.BadParameter("text or json", param_hint="--output")
    try:
        sys.exit(check(programs.data_dir(settings, {"data_dir": data_dir}), output))
    except programs.UNUSABLE as error:
        _give_up(error)


def run() -> None:
    """The program."""
    app()


def _words(given: list[str] | None) -> tuple[str, ...] | None:
    return tuple(given) if given else None


def _start(program: str, file: pathlib.Path | None, server_flags: dict[str, Any], work_flags: dict[str, Any]) -> None:
    from perdure_services import process, programs

    try:
        prepared = programs.prepare(program, file, server_flags, work_flags)
    except programs.UNUSABLE as error:
        _give_up(error)
    try:
        sys.exit(process.run(prepared()))
    except programs.UNUSABLE as error:
        _give_up(error)
    except asyncio.CancelledError:
        sys.exit(process.INTERRUPTED)


def _give_up(error: Exception) -> None:
    typer.echo(f"perdure-server: {error}", err=True)
    sys.exit(UNUSABLE)


if __name__ == "__main__":
    run()
