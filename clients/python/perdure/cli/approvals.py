"""`perdure approvals`: hold points, and people's decisions."""

from collections import Counter
from enum import StrEnum
from typing import Annotated

import typer

from perdure.cli import deciding, names
from perdure.cli.asking import confirm, confirm_where_possible
from perdure.cli.connection import connected
from perdure.cli.deciding import Said, json_of_text
from perdure.cli.following.approvals import follow_approvals
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import ApprovalName, Limit, OfFlow, OfRun, OfSession, Output, Yes
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.printing.words import enum_word, one_line
from perdure.client import Client, pages
from perdure.v1.approvals_pb2 import Approval, GetApprovalRequest, ListApprovalsRequest, WatchApprovalsRequest
from perdure.v1.decisions_pb2 import (
    DECISION_KIND_APPROVED,
    DECISION_KIND_EDITED,
    DECISION_KIND_PROVIDED,
    DECISION_KIND_REJECTED,
    DECISION_KIND_SELECTED,
    DecisionKind,
)

_VALUE = "JSON, @FILE, or text"

app = noun("Approvals: what runs wait for people to decide, and what was decided.")


class Wanted(StrEnum):
    """Which approvals to list."""

    OPEN = "open"
    DECIDED = "decided"
    EXPIRED = "expired"
    CLOSED = "closed"
    ALL = "all"


_STATES = {
    Wanted.OPEN: [Approval.STATE_OPEN],
    Wanted.DECIDED: [Approval.STATE_DECIDED],
    Wanted.EXPIRED: [Approval.STATE_EXPIRED],
    Wanted.CLOSED: [Approval.STATE_CLOSED],
    Wanted.ALL: [],
}


@app.command("list")
@connected
async def list_approvals(
    perdure: Client,
    state: Annotated[Wanted, typer.Option("--state", help="Only those that stand so.")] = Wanted.OPEN,
    run_id: OfRun = None,
    flow_id: OfFlow = None,
    session_id: OfSession = None,
    limit: Limit = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List what waits for a decision, the next to expire first; or, with --state, what was decided."""
    request = ListApprovalsRequest(
        states=_STATES[state],
        run=names.run(run_id) if run_id is not None else "",
        flow=names.flow(flow_id) if flow_id is not None else "",
        session=names.session(session_id) if session_id is not None else "",
        page_size=page_size(limit),
    )
    await list_items(pages(perdure.approvals.ListApprovals, request), lambda page: page.approvals, limit, output)


@app.command()
@connected
async def watch(
    perdure: Client,
    state: Annotated[
        Wanted, typer.Option("--state", help="Only those that stand so, and changes after which they do.")
    ] = Wanted.ALL,
    run_id: OfRun = None,
    flow_id: OfFlow = None,
    session_id: OfSession = None,
    snapshot: Annotated[
        bool, typer.Option(help="First show what is open; only what happens from now on otherwise.")
    ] = True,
    resume_token: Annotated[
        str, typer.Option("--resume-token", metavar="TOKEN", help="Go on after this one of an earlier -o json line.")
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Follow approvals, across restarts of the server: what is open, and then what happens, a line each.

    With -o json every line is an object with a resume_token, from which another call goes on and misses nothing. It does
    not end by itself.
    """
    request = WatchApprovalsRequest(
        states=_STATES[state],
        run=names.run(run_id) if run_id is not None else "",
        flow=names.flow(flow_id) if flow_id is not None else "",
        session=names.session(session_id) if session_id is not None else "",
        snapshot=snapshot and not resume_token,
        resume_token=resume_token,
    )
    await follow_approvals(perdure, request, output)


@app.command()
@connected
async def get(perdure: Client, approval: ApprovalName, output: Output = Format.TABLE) -> None:
    """Show an approval: the question, exactly what it is about, and who decided what."""
    print_one(await perdure.approvals.GetApproval(GetApprovalRequest(name=names.approval(approval))), output)


@app.command()
@connected
async def approve(
    perdure: Client,
    approval: ApprovalName,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the decision.")] = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Let a hold point go on. Shows what is approved and asks; the decision counts for exactly what was shown."""
    shown = await deciding.show_to_decide(perdure, names.approval(approval), DECISION_KIND_APPROVED)
    if shown.state == Approval.STATE_OPEN:
        confirm("Approve this?", yes)
        shown = await deciding.decide(perdure, shown, Said(DECISION_KIND_APPROVED, reason))
    _print_decided(shown, output)


@app.command()
@connected
async def reject(
    perdure: Client,
    approval: ApprovalName,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; whoever mends it reads it. Required.")],
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Refuse a hold point. Its run does what the playbook says then; it fails where that says nothing."""
    shown = await deciding.show_to_decide(perdure, names.approval(approval), DECISION_KIND_REJECTED)
    if shown.state == Approval.STATE_OPEN:
        confirm_where_possible("Reject this?", yes)
        shown = await deciding.decide(perdure, shown, Said(DECISION_KIND_REJECTED, reason))
    _print_decided(shown, output)


@app.command()
@connected
async def decide(
    perdure: Client,
    approval: ApprovalName,
    approve: Annotated[bool, typer.Option("--approve", help="Let it go on.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Refuse it; needs --reason.")] = False,
    edit: Annotated[
        str | None, typer.Option("--edit", metavar="VALUE", help=f"Let it go on with this instead: {_VALUE}.")
    ] = None,
    select: Annotated[
        str | None, typer.Option("--select", metavar="OPTION", help="Let it go on with one of its options.")
    ] = None,
    provide: Annotated[
        str | None, typer.Option("--provide", metavar="VALUE", help=f"Give what it asks for: {_VALUE}.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the decision.")] = "",
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Decide a hold point, in one of the ways that it allows. Shows it and asks; counts for exactly what was shown."""
    ways = [
        *([Said(DECISION_KIND_APPROVED, reason)] if approve else ()),
        *([Said(DECISION_KIND_REJECTED, reason)] if reject else ()),
        *([Said(DECISION_KIND_EDITED, reason, json_of_text(edit, "--edit"))] if edit is not None else ()),
        *([Said(DECISION_KIND_SELECTED, reason, option=select)] if select is not None else ()),
        *([Said(DECISION_KIND_PROVIDED, reason, json_of_text(provide, "--provide"))] if provide is not None else ()),
    ]
    if len(ways) != 1:
        said = "say one only" if ways else "say how"
        raise typer.BadParameter(f"{said}: --approve, --reject, --edit, --select or --provide", param_hint="'decide'")
    (said_so,) = ways
    shown = await deciding.show_to_decide(perdure, names.approval(approval), said_so.decision)
    if shown.state == Approval.STATE_OPEN:
        if reject:
            confirm_where_possible("Reject this?", yes)
        else:
            confirm("Decide this so?", yes)
        shown = await deciding.decide(perdure, shown, said_so)
    _print_decided(shown, output)


def _print_decided(approval: Approval, format: Format) -> None:
    if format is not Format.TABLE:
        print_one(approval, format)
    elif approval.state == Approval.STATE_OPEN:
        said = Counter((vote.kind, vote.selected_option) for vote in approval.votes)
        typer.echo(f"{approval.name} is open still: {max(said.values())} of {approval.quorum} have said the same")
    else:
        decision = enum_word(DecisionKind.DESCRIPTOR, approval.decision)
        typer.echo(one_line(f"{approval.name} {decision} by {approval.decider}"))
        typer.echo(f"follow what comes of it: perdure flows watch {names.bare(approval.flow)}", err=True)
