"""What a flow is started with: the options that every command has which starts one, now or later."""

import pathlib
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.durations import duration_message
from perdure.cli.inputs import flow_request
from perdure.v1.flows_pb2 import StartFlowRequest

StartedPlaybook = Annotated[str, typer.Option("--playbook-id", metavar="PLAYBOOK", help="The playbook to start.")]
StartedVersion = Annotated[str, typer.Option("--version", metavar="VERSION", help="Which version of it.")]
StartedDigest = Annotated[
    str, typer.Option("--digest", metavar="SHA256", help="Its digest, so that what starts is what was reviewed.")
]
InSession = Annotated[str, typer.Option("--session-id", metavar="SESSION", help="The session it is work of.")]
Queue = Annotated[str, typer.Option("--queue", metavar="QUEUE", help="Queue to wait in; left out: default.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="LABEL", help="Label that an executor must have; repeat for more."),
]
Priority = Annotated[int, typer.Option("--priority", help="-100 to 100; higher is handed out first.")]
RunTimeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="Time the run may take: 30s, 5m, 2h. Replaces the playbook's."),
]


def start_request(
    which: tuple[str, str, str],
    session_id: str,
    given: tuple[pathlib.Path | None, str | None, list[str] | None, str | None],
    queue: str,
    labels: list[str] | None,
    priority: int,
    run_limit: str | None,
) -> StartFlowRequest:
    """The start that the options add up to, without an idempotency key.

    `which` is the playbook, its version and digest; `given` what `flow_request` makes a request of. Raises BadParameter.
    """
    playbook_id, version, digest = which
    return StartFlowRequest(
        playbook_version=names.version(playbook_id, version),
        digest=digest,
        session=names.session(session_id),
        request=flow_request(*given),
        queue=queue,
        labels=labels or (),
        priority=priority,
        timeout=duration_message(run_limit),
    )
