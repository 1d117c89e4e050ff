"""Decides approvals: a decision counts for exactly what was shown to whoever decides."""

import hashlib
from datetime import UTC, datetime

import typer

from perdure.cli import names
from perdure.cli.asking import ask, choose
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.printing.descriptions import describe
from perdure.cli.printing.words import enum_word
from perdure.client import CallFailed, Client, pages
from perdure.v1.approvals_pb2 import Approval, DecideApprovalRequest, GetApprovalRequest, ListApprovalsRequest
from perdure.v1.fact_events_pb2 import DECISION_KIND_APPROVED, DECISION_KIND_REJECTED, DecisionKind


async def show(perdure: Client, name: str, wanted: DecisionKind.ValueType | None = None) -> Approval:
    """What is to be decided, shown to people. Raises Refused where it is not open, unless it was decided as wanted."""
    found = await perdure.approvals.GetApproval(GetApprovalRequest(name=name))
    if found.state == Approval.STATE_DECIDED and found.decision == wanted:
        typer.echo("it was decided so already; nothing has changed", err=True)
        return found
    if found.state != Approval.STATE_OPEN:
        state = enum_word(Approval.State.DESCRIPTOR, found.state)
        decision = f", {enum_word(DecisionKind.DESCRIPTOR, found.decision)} by {found.decider}" * bool(found.decision)
        look = f"perdure approvals get {names.bare(found.name)}"
        if found.state == Approval.STATE_EXPIRED:
            look = f"how its run can go on: perdure runs recovery {names.bare(found.run)}"
        reason = "APPROVAL_DECIDED" if found.state == Approval.STATE_DECIDED else "APPROVAL_CLOSED"
        raise Refused(ExitCode.CONFLICT, reason, f"{found.name} is {state}{decision}", look)
    if hashlib.sha256(found.subject).hexdigest() != found.subject_digest:
        raise Refused(
            ExitCode.FAILURE,
            "DATA_CORRUPT",
            f"the subject of {found.name} does not have the digest that a decision binds to",
            "do not decide it; let whoever runs the server look at its store: perdure-server check",
        )
    typer.echo("\n".join(describe(found, datetime.now(UTC))), err=True)
    return found


async def decide(perdure: Client, shown: Approval, decision: DecisionKind.ValueType, reason: str) -> Approval:
    """The approval, decided. Raises CallFailed, and Refused where it has been closed since it was shown."""
    request = DecideApprovalRequest(name=shown.name, decision=decision, token=shown.token, reason=reason)
    try:
        return await perdure.approvals.DecideApproval(request)
    except CallFailed as failure:
        if failure.reason != "APPROVAL_CLOSED":
            raise
    return await show(perdure, shown.name, decision)


async def ask_for_decisions(perdure: Client, flow: str) -> bool:
    """Shows every open approval of a flow and asks for its decision; whether anything was decided.

    Raises CallFailed, and Refused where the person leaves.
    """
    decided = False
    request = ListApprovalsRequest(flow=flow, states=[Approval.STATE_OPEN])
    async for page in pages(perdure.approvals.ListApprovals, request):
        for waiting in page.approvals:
            shown = await show(perdure, waiting.name)
            later = f"perdure approvals approve {names.bare(shown.name)}, or reject it"
            match choose("What do you decide?", ("approve", "reject", "later"), later):
                case "approve":
                    await decide(perdure, shown, DECISION_KIND_APPROVED, "")
                case "reject":
                    await decide(perdure, shown, DECISION_KIND_REJECTED, ask("Why?", later))
                case _:
                    continue
            decided = True
    return decided
