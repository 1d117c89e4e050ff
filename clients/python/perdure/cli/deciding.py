"""Decides approvals: a decision counts for exactly what was shown to whoever decides."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import typer

from perdure.cli import names
from perdure.cli.asking import ask, choose
from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused
from perdure.cli.json_text import value_or_file
from perdure.cli.printing.approvals import approval_lines
from perdure.cli.printing.words import enum_word
from perdure.client import CallFailed, Client, pages
from perdure.v1.approvals_pb2 import (
    Approval,
    DecideApprovalRequest,
    DecideApprovalsRequest,
    DecideApprovalsResponse,
    GetApprovalRequest,
    ListApprovalsRequest,
)
from perdure.v1.decisions_pb2 import (
    DECISION_KIND_APPROVED,
    DECISION_KIND_EDITED,
    DECISION_KIND_PROVIDED,
    DECISION_KIND_REJECTED,
    DECISION_KIND_SELECTED,
    DecisionKind,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody decides. `content` is JSON, of decisions that say something themselves; `option` is for SELECTED."""

    decision: DecisionKind.ValueType
    reason: str = ""
    content: bytes = b""
    option: str = ""

    def is_of(self, approval: Approval) -> bool:
        """Whether the approval was decided so, by whomever and for whatever reason."""
        if approval.state != Approval.STATE_DECIDED or approval.decision != self.decision:
            return False
        return approval.selected_option == self.option and _value(approval.content) == _value(self.content)


def said_so(
    reason: str, *, approve: bool, reject: bool, edit: str | None, select: str | None, provide: str | None
) -> Said:
    """The one way that was said. Raises BadParameter for none, or more than one."""
    ways: list[Said] = [
        *([Said(DECISION_KIND_APPROVED, reason)] if approve else ()),
        *([Said(DECISION_KIND_REJECTED, reason)] if reject else ()),
        *([Said(DECISION_KIND_EDITED, reason, json_of_text(edit, "--edit"))] if edit is not None else ()),
        *([Said(DECISION_KIND_SELECTED, reason, option=select)] if select is not None else ()),
        *([Said(DECISION_KIND_PROVIDED, reason, json_of_text(provide, "--provide"))] if provide is not None else ()),
    ]
    if len(ways) != 1:
        said = "say one only" if ways else "say how"
        raise typer.BadParameter(f"{said}: --approve, --reject, --edit, --select or --provide", param_hint="'decide'")
    return ways[0]


def _value(content: bytes) -> Any:
    return json.loads(content) if content else None


Result = DecideApprovalsResponse.Result


async def show(perdure: Client, name: str, said: Said | None = None) -> Approval:
    """What is to be decided, shown to people. Raises Refused where it is not open, unless it was decided as is said."""
    found = await perdure.approvals.GetApproval(GetApprovalRequest(name=name))
    if said is not None and said.is_of(found):
        typer.echo("it was decided so already; nothing has changed", err=True)
        return found
    if found.state != Approval.STATE_OPEN:
        state = enum_word(Approval.State.DESCRIPTOR, found.state)
        option = f" {found.selected_option}" * bool(found.selected_option)
        decided = f", {enum_word(DecisionKind.DESCRIPTOR, found.decision)}{option} by {found.decider}"
        decision = decided if found.decision else ""
        look = f"perdure approvals show {names.bare(found.name)}"
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
    typer.echo("\n".join(approval_lines(found, datetime.now(UTC))), err=True)
    return found


async def show_to_decide(perdure: Client, name: str, said: Said) -> Approval:
    """The same, for a caller that means to decide it. Raises Refused where it is for others to decide."""
    found = await show(perdure, name, said)
    if found.state == Approval.STATE_OPEN and not found.token:
        raise Refused(
            ExitCode.DENIED,
            "DECIDER_NOT_ALLOWED",
            f"{found.name} is for others to decide: {OTHERS}",
            "look at who it is: perdure auth whoami",
        )
    return found


async def show_each(perdure: Client, approvals: Sequence[str], said: Said) -> tuple[list[Approval], list[Result]]:
    """Those of several that can be decided so, or were, shown; and why the others cannot."""
    found, refused = list[Approval](), list[Result]()
    for name in approvals:
        try:
            found.append(await show_to_decide(perdure, name, said))
        except (CallFailed, Refused) as failure:
            if isinstance(failure, CallFailed) and not failure.reason:
                raise
            refused.append(Result(name=name, refusal=_refusal(failure)))
    return found, refused


def _refusal(failure: CallFailed | Refused) -> DecideApprovalsResponse.Refusal:
    return DecideApprovalsResponse.Refusal(
        reason=failure.reason, message=str(failure) if isinstance(failure, Refused) else failure.message
    )


OTHERS: Final = "this caller's role does not decide, others are asked, or it started the flow or stored its playbook"


APPROVED: Final = Said(DECISION_KIND_APPROVED)


async def decide(perdure: Client, shown: Approval, said: Said) -> Approval:
    """The approval, decided. Raises CallFailed, and Refused where it has been closed since it was shown."""
    try:
        return await perdure.approvals.DecideApproval(_request(shown, said))
    except CallFailed as failure:
        if failure.reason != "APPROVAL_CLOSED":
            raise
    return await show(perdure, shown.name, said)


async def decide_all(
    perdure: Client, shown: Sequence[Approval], said: Said, *, atomic: bool
) -> DecideApprovalsResponse:
    """What became of each that was decided so. Raises CallFailed, where all or none was asked for as well."""
    requests = [_request(one, said) for one in shown]
    if not requests:
        return DecideApprovalsResponse()
    return await perdure.approvals.DecideApprovals(DecideApprovalsRequest(requests=requests, atomic=atomic))


def _request(shown: Approval, said: Said) -> DecideApprovalRequest:
    return DecideApprovalRequest(
        name=shown.name,
        decision=said.decision,
        token=shown.token,
        reason=said.reason,
        content=said.content,
        selected_option=said.option,
    )


async def ask_for_decisions(perdure: Client, flow: str) -> bool:
    """Shows every open approval of a flow and asks for its decision; whether anything was decided.

    Raises CallFailed, and Refused where the person leaves.
    """
    decided = False
    request = ListApprovalsRequest(flow=flow, states=[Approval.STATE_OPEN])
    async for page in pages(perdure.approvals.ListApprovals, request):
        for waiting in page.approvals:
            shown = await show(perdure, waiting.name)
            later = command_to_pass(names.bare(shown.name), shown.allowed)
            if not shown.token:
                typer.echo(f"it is for others to decide: {OTHERS}", err=True)
                continue
            verbs = [_VERBS[kind] for kind in shown.allowed if kind in _VERBS]
            verb = choose("What do you decide?", (*verbs, "later"), later)
            if verb != "later":
                await decide(perdure, shown, _ask_for(shown, verb, later))
                decided = True
    return decided


def _ask_for(shown: Approval, verb: str, later: str) -> Said:
    match verb:
        case "reject":
            return Said(DECISION_KIND_REJECTED, reason=ask("Why?", later))
        case "edit":
            return Said(DECISION_KIND_EDITED, content=_ask_content("What instead? JSON, @FILE, or text", later))
        case "provide":
            return Said(DECISION_KIND_PROVIDED, content=_ask_content("What? JSON, @FILE, or text", later))
        case "select":
            return Said(DECISION_KIND_SELECTED, option=choose("Which?", list(shown.options), later))
        case _:
            return APPROVED


def _ask_content(question: str, later: str) -> bytes:
    """What somebody writes, asked for again until it can be read."""
    while True:
        try:
            return json_of_text(ask(question, later), question)
        except typer.BadParameter as error:
            typer.echo(f"{error.message}; once more", err=True)


def command_to_pass(approval_id: str, allowed: Collection[DecisionKind.ValueType]) -> str:
    """What to type to let a hold point go on that allows these decisions."""
    if DECISION_KIND_APPROVED in allowed:
        return f"perdure approvals approve {approval_id}"
    flag = next((flag for kind, flag in _FLAGS.items() if kind in allowed), "")
    return f"perdure approvals decide {approval_id} {flag}".rstrip()


def json_of_text(text: str, came_by: str) -> bytes:
    """What somebody wrote as the content of a decision: JSON where it reads as that, or is @FILE; any other is text.

    Raises BadParameter, naming the option, or the question, that it came by; also for what begins as JSON and is none.
    """
    value = value_or_file(text, came_by)
    if value == text and text.lstrip()[:1] in ("{", "["):
        reason = f"begins as JSON does and is none; write {json.dumps(text[:20], ensure_ascii=False)} to give a text"
        raise typer.BadParameter(reason, param_hint=came_by)
    return json.dumps(value, ensure_ascii=False).encode()


_FLAGS: Final = {
    DECISION_KIND_SELECTED: "--select OPTION",
    DECISION_KIND_PROVIDED: "--provide VALUE",
    DECISION_KIND_EDITED: "--edit VALUE",
}
"""How a hold point is passed that cannot simply be approved."""

_VERBS: Final = {
    DECISION_KIND_APPROVED: "approve",
    DECISION_KIND_EDITED: "edit",
    DECISION_KIND_SELECTED: "select",
    DECISION_KIND_PROVIDED: "provide",
    DECISION_KIND_REJECTED: "reject",
}
