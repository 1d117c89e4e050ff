"""`perdure approvals`: hold points, and people's decisions."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from perdure.cli import deciding, names
from perdure.cli.asking import confirm, confirm_where_possible
from perdure.cli.connection import connected
from perdure.cli.deciding import Said
from perdure.cli.following.approvals import follow_approvals
from perdure.cli.lazy import noun
from perdure.cli.lists import DEFAULT_LIMIT, list_items, page_size
from perdure.cli.options import ApprovalName, Limit, OfFlow, OfRun, OfSession, Output, Yes
from perdure.cli.printing.approvals import approval_lines, print_decided, print_results
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.printing.words import one_line
from perdure.client import Client, pages
from perdure.v1.approvals_pb2 import (
    Approval,
    CommentApprovalRequest,
    DelegateApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
    WatchApprovalsRequest,
    WithdrawApprovalRequest,
)
from perdure.v1.decisions_pb2 import (
    DECISION_KIND_APPROVED,
    DECISION_KIND_REJECTED,
)
from perdure.v1.identities_pb2 import WhoAmIRequest

_VALUE = "JSON, @FILE, or text"

_Assignee = Annotated[
    str, typer.Option("--assignee", metavar="NAME", help="Only those that ask this one by name: keys/ada.")
]
_Role = Annotated[str, typer.Option("--role", metavar="ROLE", help="Only those that ask this role by name.")]
_Mine = Annotated[bool, typer.Option("--mine", help="Only those that ask the caller, by name or by its role.")]

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
    assignee: _Assignee = "",
    role: _Role = "",
    mine: _Mine = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only open ones whose deadline has passed.")] = False,
    limit: Limit = DEFAULT_LIMIT,
    output: Output = Format.TABLE,
) -> None:
    """List what waits for a decision, the next to expire first; or, with --state, what was decided."""
    request = ListApprovalsRequest(
        assignee=assignee,
        role=role,
        mine=mine,
        overdue=overdue,
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
    assignee: _Assignee = "",
    role: _Role = "",
    mine: _Mine = False,
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
        assignee=assignee,
        role=role,
        mine=mine,
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
async def show(perdure: Client, approval: ApprovalName, output: Output = Format.TABLE) -> None:
    """Show the full picture: the question, what follows, who is asked, what was said so far, and what may be done now."""
    found = await perdure.approvals.GetApproval(GetApprovalRequest(name=names.approval(approval)))
    if output is Format.TABLE:
        caller = (await perdure.identity.WhoAmI(WhoAmIRequest())).principal if found.votes else ""
        typer.echo("\n".join(approval_lines(found, datetime.now(UTC), caller)))
    else:
        print_one(found, output)


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
    said = Said(DECISION_KIND_APPROVED, reason)
    shown = await deciding.show_to_decide(perdure, names.approval(approval), said)
    if shown.state == Approval.STATE_OPEN:
        confirm("Approve this?", yes)
        shown = await deciding.decide(perdure, shown, said)
    print_decided(shown, output)


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
    said = Said(DECISION_KIND_REJECTED, reason)
    shown = await deciding.show_to_decide(perdure, names.approval(approval), said)
    if shown.state == Approval.STATE_OPEN:
        confirm_where_possible("Reject this?", yes)
        shown = await deciding.decide(perdure, shown, said)
    print_decided(shown, output)


@app.command()
@connected
async def decide(
    perdure: Client,
    approvals: Annotated[
        list[str], typer.Argument(metavar="APPROVAL...", help="Approvals: ids, or approvals/{approval}.")
    ],
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
    atomic: Annotated[bool, typer.Option("--atomic", help="Of several of one node: all or none.")] = False,
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Decide hold points, in one of the ways that they allow. Shows each and asks; counts for exactly what was shown.

    Several are decided the same way, each by itself, with a line for each; ends with 1 where one was refused.
    """
    said = deciding.said_so(reason, approve=approve, reject=reject, edit=edit, select=select, provide=provide)
    asked, refused = [names.approval(one) for one in approvals], list[deciding.Result]()
    if len(asked) > 1 and not atomic:
        found, refused = await deciding.show_each(perdure, asked, said)
    else:
        found = [await deciding.show_to_decide(perdure, one, said) for one in asked]
    still_open = [shown for shown in found if shown.state == Approval.STATE_OPEN]
    if atomic and 0 < len(still_open) < len(found):
        raise typer.BadParameter("some are decided already; leave those out, or --atomic", param_hint="--atomic")
    if still_open:
        question = "Decide this so?" if len(still_open) == 1 else f"Decide these {len(still_open)} so?"
        if reject:
            confirm_where_possible(question.replace("Decide", "Reject").replace(" so?", "?"), yes)
        else:
            confirm(question, yes)
    if len(approvals) > 1:
        decided = await deciding.decide_all(perdure, still_open, said, atomic=atomic)
        decided.results.extend(refused)
        print_results(decided, output)
        return
    shown = await deciding.decide(perdure, found[0], said) if still_open else found[0]
    print_decided(shown, output)


@app.command()
@connected
async def delegate(
    perdure: Client,
    approval: ApprovalName,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="Who is asked: keys/bob, or role:admin. Required.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the approval.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Ask somebody else in your place. It stays open; only whoever is asked may do it, or an admin."""
    request = DelegateApprovalRequest(name=names.approval(approval), to=to, reason=reason)
    delegated = await perdure.approvals.DelegateApproval(request)
    _print_done(delegated, f"{delegated.name} asks {', '.join(delegated.assignees)}", output)


@app.command()
@connected
async def withdraw(
    perdure: Client,
    approval: ApprovalName,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the run's failure says it. Required.")],
    yes: Yes = False,
    output: Output = Format.TABLE,
) -> None:
    """Withdraw a request: nobody decides it any more, and its node fails. For whoever started the flow, or an admin."""
    confirm_where_possible("Withdraw this?", yes)
    withdrawn = await perdure.approvals.WithdrawApproval(
        WithdrawApprovalRequest(name=names.approval(approval), reason=reason)
    )
    _print_done(withdrawn, f"{withdrawn.name} is withdrawn", output)


@app.command()
@connected
async def comment(
    perdure: Client,
    approval: ApprovalName,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say.")],
    output: Output = Format.TABLE,
) -> None:
    """Say something about an open approval, and decide nothing."""
    commented = await perdure.approvals.CommentApproval(
        CommentApprovalRequest(name=names.approval(approval), text=text)
    )
    said = sum(event.HasField("commented") for event in commented.history)
    _print_done(commented, f"{commented.name} has {said} comment{'s' * (said != 1)}", output)


def _print_done(approval: Approval, line: str, format: Format) -> None:
    if format is Format.TABLE:
        typer.echo(one_line(line))
    else:
        print_one(approval, format)
