"""`perdure`: the table of commands, and what is chosen for all of them.

A command's module is imported when the command is called. Exit codes are in `exit_codes`.
"""

import os
import pathlib
import sys
from typing import Annotated, Final

import typer

from perdure.addresses import DEFAULT_SERVER
from perdure.cli.chosen import USUAL_FILE, Chosen, Tls
from perdure.cli.lazy import Lazy, LazyGroup

COMMANDS: Final = {
    "status": Lazy("perdure.cli.status", "Whether the server is well, and what waits for whom."),
    "run": Lazy("perdure.cli.trial", "Try a playbook from a file: store, start and follow it."),
    "playbooks": Lazy("perdure.cli.playbooks", "Reviewed procedures, in versions that never change."),
    "flows": Lazy("perdure.cli.flows", "Starts of playbooks, and what became of them."),
    "approvals": Lazy("perdure.cli.approvals", "Hold points: look at what is asked, and decide."),
    "runs": Lazy("perdure.cli.runs", "Executions: follow, stop, continue, and settle doubts."),
    "tasks": Lazy("perdure.cli.tasks", "Commands that runs have executed, and what they printed."),
    "schedules": Lazy("perdure.cli.schedules", "Starts of flows at times, and what became of each."),
    "queues": Lazy("perdure.cli.queues", "Where ready runs wait, and how many of each go on."),
    "sessions": Lazy("perdure.cli.sessions", "Lines of work that flows, runs and agents belong to."),
    "agents": Lazy("perdure.cli.agents", "Identities that work in sessions."),
    "verify": Lazy("perdure.cli.verify", "Check logs against every rule, and against witnesses."),
    "keys": Lazy("perdure.cli.keys", "Keys by which callers say who they are."),
    "auth": Lazy("perdure.cli.auth", "Who the server takes you for, and the key that it knows you by."),
    "encryption": Lazy("perdure.cli.encryption", "Keys that encrypt what work is given and leaves."),
    "config": Lazy("perdure.cli.config", "Profiles: where servers are, and what they know you by."),
    "policy": Lazy("perdure.cli.policy", "What the environment demands of playbooks before they start."),
    "credentials": Lazy("perdure.cli.credentials", "Which secrets there are and how old they are."),
    "webhooks": Lazy("perdure.cli.webhooks", "Who is told of approvals by HTTP, and what did not arrive."),
    "audit": Lazy("perdure.cli.audit", "Who did what, when and from where, and whether it was bent."),
    "runtime": Lazy("perdure.cli.runtime", "The server's limits and promises, and its executors."),
}
"""Every command, in the order of help. A new one is a line here and a module with a Typer `app`."""

EPILOG: Final = f"""\b
Settings: a flag wins over the environment (PERDURE_SERVER, PERDURE_KEY, PERDURE_PROFILE, PERDURE_OUTPUT,
PERDURE_CONFIG, PERDURE_ENCRYPTION_KEYS), that over the profile that is used (perdure config profile),
and that over the file of settings, which may hold, as TOML:
    server = "{DEFAULT_SERVER}"
    output = "json"
It is {USUAL_FILE}, or the one that --config names.

\b
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict or precondition, 6 unavailable,
7 deadline, 8 the run or flow was not successful, 9 it waits for a person, 130 interrupted, 141 the reader went away."""


class Program(LazyGroup):
    """The program's own group."""

    table = COMMANDS


app = typer.Typer(
    name="perdure",
    cls=Program,
    help="Runs reviewed procedures, and keeps people in charge at their hold points.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"perdure {version('perdure')}")
        raise typer.Exit


@app.callback()
def program(
    context: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="PERDURE_SERVER",
            metavar="HOST:PORT",
            show_default=False,
            help=f"Address of the server (default: {DEFAULT_SERVER}); may stand behind a command too.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FORMAT",
            show_default=False,
            help="table, json or yaml: how every command prints its data; may stand behind a command too.",
        ),
    ] = None,
    key_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the key that the server knows you by, where it asks; else PERDURE_KEY is that key.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            envvar="PERDURE_PROFILE",
            metavar="PROFILE",
            help="Profile to ask for what neither flags nor environment say; may stand behind a command too.",
        ),
    ] = None,
    tls_ca: Annotated[
        str,
        typer.Option(
            envvar="PERDURE_TLS_CA",
            metavar="FILE",
            help="CAs that know the server, or system, or none: plain text. Default: plain text, on this machine.",
            show_default=False,
        ),
    ] = "",
    tls_certificate: Annotated[
        str,
        typer.Option(
            envvar="PERDURE_TLS_CERTIFICATE", metavar="FILE", help="Certificate to show it.", show_default=False
        ),
    ] = "",
    tls_key: Annotated[
        str, typer.Option(envvar="PERDURE_TLS_KEY", metavar="FILE", help="Its key.", show_default=False)
    ] = "",
    config: Annotated[
        pathlib.Path | None,
        typer.Option(envvar="PERDURE_CONFIG", metavar="FILE", help="File of settings, in place of the usual one."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Keeps what is chosen for all commands."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    context.obj = Chosen(server, output, config, key_file, profile, Tls(tls_ca, tls_certificate, tls_key))


def run() -> None:
    """The program."""
    # Both are read when gRPC is imported. What it has to say about a lost connection is said better by the command, and
    # its older event loop answers sooner than the newer one; see docs/decisions.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # A terminal may lack a sign. A stream that was closed by the caller is None.
        stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="perdure")
    except OSError as error:
        # Help and version are written before any command is there to tell it.
        from perdure.cli.failures import report_unwritable

        sys.exit(report_unwritable(error))
    except Exception as error:  # noqa: BLE001  # whoever types a command is told in a sentence, which no traceback is
        from perdure.cli.failures import report_unexpected

        sys.exit(report_unexpected(error))


if __name__ == "__main__":
    run()
