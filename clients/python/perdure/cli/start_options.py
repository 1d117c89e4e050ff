"""What a flow is started with: the options that every command has which starts one, now or later."""

from dataclasses import dataclass
from typing import Annotated

import typer

from perdure.cli import names
from perdure.cli.durations import duration_message
from perdure.v1.flows_pb2 import FlowRequest, StartFlowRequest

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """What a command was given for a start, now or later; `given` is the flow's request."""

    playbook_id: str
    version: str
    digest: str
    session_id: str
    given: FlowRequest
    queue: str
    labels: list[str] | None
    priority: int
    run_limit: str | None

    def request(self) -> StartFlowRequest:
        """The start they add up to, without an idempotency key. Raises BadParameter."""
        return StartFlowRequest(
            playbook_version=names.version(self.playbook_id, self.version),
            digest=self.digest,
            session=names.session(self.session_id),
            request=self.given,
            queue=self.queue,
            labels=self.labels or (),
            priority=self.priority,
            timeout=duration_message(self.run_limit),
        )
