"""`perdure-server`: starts the programs.

Heavy imports wait until a program is chosen, so that help comes at once.
"""

import os
import pathlib
import sys
from typing import Annotated, Any, Final

import typer

from perdure.cli.lazy import Noun
from perdure_services.flags import (
    USUAL_FILE,
    Authentication,
    Database,
    DataDir,
    DrainSeconds,
    Functions,
    Heartbeat,
    Host,
    KeyFile,
    Labels,
    Lease,
    LogFormat,
    LogLevel,
    Name,
    PassVariables,
    Port,
    Providers,
    Queues,
    Reflection,
    Server,
    SettingsFile,
    Slots,
    StopGrace,
    Workspace,
    chosen,
)
from perdure_services.giving_up import AWAY, give_up
from perdure_services.store_commands import backup, check, keys, restore, retention, token_keys

EPILOG: Final = f"""\b
Settings: a flag wins over the environment, and that over the settings file, which is
{USUAL_FILE} where it is there, or the one that --settings names.
The same setting in each place:
    --data-dir /var/lib/perdure
    PERDURE_CONTROL_PLANE_DATA_DIR=/var/lib/perdure    (PERDURE_EXECUTOR_... for an executor's)
    [control_plane]                                    ([executor] for an executor's)
    data_dir = "/var/lib/perdure"
Lists are words with commas between them in the environment, and arrays in the file.

\b
Exit codes: 0 stopped as asked, 1 a check found faults, 2 settings, data or keys cannot be used,
69 the database cannot be reached now,
70 an executor ended itself with a function that ran on and could not be ended otherwise, or stood still,
71 an executor left because the process that its commands run under was lost, 130 interrupted, or stopped twice."""

UP_MORE: Final = """\b
Nothing that has ended is deleted unless retention_days is set.
Every other setting of the two can be given in the environment or in the file; see
perdure-server control-plane --help, perdure-server executor --help"""

CONTROL_PLANE_MORE: Final = """\b
Settings of the control plane without a flag, as PERDURE_CONTROL_PLANE_... or in [control_plane]:
    stall_allowance_seconds (30), assignment_ack_seconds (5), sweep_seconds (1), stream_age_seconds (2700),
    tls_certificate (none), tls_key (none), tls_client_ca (none), tls_client_roles (none), tls_in_front (no),
    jwt_issuer (none), jwt_audience (none), jwt_keys (none), jwt_role_claim (roles), jwt_roles (none),
    max_calls_per_second (0), max_streams (0),
    webhooks (none), webhook_source (/perdure), webhook_attempts (12), webhook_retry_seconds (5),
    webhook_timeout_seconds (10),
    drain_notice_seconds (1), takeover_limit (5), max_queued_runs (100000), max_payload_bytes (1048576),
    snapshot_events (500), retention_days (30),
    audit_retention_days (0)"""

EXECUTOR_MORE: Final = """\b
Settings of the executor without a flag, as PERDURE_EXECUTOR_... or in [executor]:
    max_task_output_bytes (67108864), kill_grace_seconds (5), threads (16), key (none),
    secret_variables (none), secrets_dir (none), encryption_keys (none),
    tls_ca (none), tls_certificate (none), tls_key (none)"""

app = typer.Typer(
    name="perdure-server",
    cls=Noun,
    help="Starts Perdure's programs: a control plane, executors, or both in one process.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"perdure-server {version('perdure-server')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Starts Perdure's programs."""


@app.command(epilog=UP_MORE)
def up(
    settings: SettingsFile = None,
    port: Port = None,
    data_dir: DataDir = None,
    authentication: Authentication = None,
    functions: Functions = None,
    providers: Providers = None,
    pass_variables: PassVariables = None,
    workspace: Workspace = None,
    slots: Slots = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Start a control plane and an executor in one process, on loopback, with SQLite where no database is named."""
    logs = {"log_format": log_format, "log_level": log_level}
    server = {"port": port, "data_dir": data_dir, "authentication": authentication, **logs}
    work = {
        "functions": _words(functions),
        "providers": _words(providers),
        "pass_variables": _words(pass_variables),
        "workspace": workspace,
        "slots": slots,
    }
    _start("all_in_one", settings, server, {**work, **logs})


@app.command("control-plane", epilog=CONTROL_PLANE_MORE)
def control_plane(
    settings: SettingsFile = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    database: Database = None,
    lease_seconds: Lease = None,
    heartbeat_seconds: Heartbeat = None,
    stop_grace_seconds: StopGrace = None,
    authentication: Authentication = None,
    reflection: Reflection = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Start a control plane: playbooks, flows, runs and approvals, in SQLite or in PostgreSQL."""
    given = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "database": database,
        "lease_seconds": lease_seconds,
        "heartbeat_seconds": heartbeat_seconds,
        "stop_grace_seconds": stop_grace_seconds,
        "authentication": authentication,
        "reflection": reflection,
        "log_format": log_format,
        "log_level": log_level,
    }
    _start("control_plane", settings, given, {})


@app.command(epilog=EXECUTOR_MORE)
def executor(
    settings: SettingsFile = None,
    server: Server = None,
    key_file: KeyFile = None,
    name: Name = None,
    slots: Slots = None,
    queues: Queues = None,
    labels: Labels = None,
    functions: Functions = None,
    providers: Providers = None,
    pass_variables: PassVariables = None,
    workspace: Workspace = None,
    drain_seconds: DrainSeconds = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Start an executor: it takes runs from a control plane and does their work."""
    given = {
        "server": server,
        "key_file": key_file,
        "name": name,
        "slots": slots,
        "queues": _words(queues),
        "labels": _words(labels),
        "functions": _words(functions),
        "providers": _words(providers),
        "pass_variables": _words(pass_variables),
        "workspace": workspace,
        "drain_seconds": drain_seconds,
        "log_format": log_format,
        "log_level": log_level,
    }
    _start("executor", settings, {}, given)


app.add_typer(keys, name="keys")
app.add_typer(token_keys, name="token-keys")
for _command in (check, backup, restore, retention):
    app.command()(_command)


def run() -> None:
    """The program."""
    # What gRPC itself has to say about a port or a connection is said better by the program.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    app()


def _words(given: list[str] | None) -> tuple[str, ...] | None:
    return tuple(given) if given else None


def _start(program: str, file: pathlib.Path | None, server_flags: dict[str, Any], work_flags: dict[str, Any]) -> None:
    from asyncio import CancelledError

    from perdure_services import process, programs

    try:
        prepared = programs.prepare(program, chosen(file), server_flags, work_flags)
    except programs.UNUSABLE as error:
        give_up(error)
    try:
        sys.exit(process.run(prepared()))
    except programs.AWAY as error:
        give_up(error, AWAY)
    except programs.UNUSABLE as error:
        give_up(error)
    except CancelledError:
        sys.exit(process.INTERRUPTED)


if __name__ == "__main__":
    run()
