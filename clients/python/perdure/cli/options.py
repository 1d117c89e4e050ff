"""Arguments and options that several commands have, each with the same name and meaning everywhere."""

import pathlib
from typing import Annotated, Final

import typer

from perdure.cli.printing.formats import Format

Output = Annotated[
    Format,
    typer.Option(
        "-o", "--output", envvar="PERDURE_OUTPUT", help="How to print the data: a table for people, or JSON or YAML."
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Most items to list.")]

FlowName = Annotated[str, typer.Argument(metavar="FLOW", help="The flow: its id, or flows/{flow}.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The run: its id, or runs/{run}.")]
ApprovalName = Annotated[str, typer.Argument(metavar="APPROVAL", help="The approval: its id, or approvals/{approval}.")]
AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="The agent: its id, or agents/{agent}.")]
SessionName = Annotated[str, typer.Argument(metavar="SESSION", help="The session: its id, or sessions/{session}.")]
PlaybookName = Annotated[
    str,
    typer.Argument(
        metavar="PLAYBOOK",
        help="The playbook: its id, playbooks/{playbook}, or playbooks/{playbook}/versions/{version}.",
    ),
]

OfSession = Annotated[str | None, typer.Option("--session-id", metavar="SESSION", help="Only of this session.")]
OfFlow = Annotated[str | None, typer.Option("--flow-id", metavar="FLOW", help="Only of this flow.")]
OfRun = Annotated[str | None, typer.Option("--run-id", metavar="RUN", help="Only of this run.")]
OfPlaybook = Annotated[str | None, typer.Option("--playbook-id", metavar="PLAYBOOK", help="Only of this playbook.")]

ManifestFile = Annotated[
    pathlib.Path,
    typer.Option("--manifest-file", metavar="FILE", help="The manifest, YAML or JSON; - reads standard input."),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the run's log.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]

_EVIDENCE: Final = typer.Option(
    "--evidence-refs-json",
    metavar="JSON",
    help='What supports it: [{"kind": "review", "id": "CHG-42", "description": "..."}].',
)
EvidenceRefs = Annotated[str, _EVIDENCE]
FurtherEvidence = Annotated[str | None, _EVIDENCE]
