"""Approvals for people: the full picture of one, and what became of several."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import typer

from perdure.cli import names
from perdure.cli.exit_codes import ExitCode
from perdure.cli.printing.formats import Format, print_one
from perdure.cli.printing.opening import opened
from perdure.cli.printing.subjects import subject_lines
from perdure.cli.printing.words import because, bytes_text, enum_word, moment_text, one_line, printable
from perdure.v1.approval_facts_pb2 import Vote
from perdure.v1.approvals_pb2 import Approval, ApprovalEvent, CloseReason, DecideApprovalsResponse
from perdure.v1.decisions_pb2 import ApprovalKind, DecisionKind, FourEyes, OnTimeout

_INDENT = "  "


def approval_lines(approval: Approval, now: datetime, caller: str = "") -> list[str]:
    """What is asked, of whom and until when; what it is about; what has been said; and what the caller may do now."""
    approval = opened(approval)
    return [
        *printable(approval.prompt).split("\n"),
        "",
        *_asked(approval, now),
        *_section("it is about", subject_lines(approval)),
        *_section("so far", list(_story(approval, now))),
        *_section("now", list(_now(approval, now, caller))),
    ]


def print_decided(approval: Approval, format: Format) -> None:
    """What was decided, or how many have said the same so far."""
    if format is not Format.TABLE:
        print_one(approval, format)
    elif approval.state == Approval.STATE_OPEN:
        said = Counter((vote.kind, vote.selected_option) for vote in approval.votes)
        typer.echo(f"{approval.name} is open still: {max(said.values())} of {approval.quorum} have said the same")
    else:
        decision = enum_word(DecisionKind.DESCRIPTOR, approval.decision)
        typer.echo(one_line(f"{approval.name} {decision} by {approval.decider}"))
        typer.echo(f"follow what comes of it: perdure flows watch {names.bare(approval.flow)}", err=True)


def print_results(decided: DecideApprovalsResponse, format: Format) -> None:
    """A line for each; ends the program where one was refused."""
    if format is not Format.TABLE:
        print_one(decided, format)
    else:
        for result in decided.results:
            typer.echo(one_line(f"{result.name} {_result(result)}"))
    if any(result.HasField("refusal") for result in decided.results):
        raise typer.Exit(ExitCode.FAILURE)


def _result(result: DecideApprovalsResponse.Result) -> str:
    if result.HasField("refusal"):
        return f"refused: {result.refusal.message} ({result.refusal.reason})"
    approval = result.approval
    if approval.state == Approval.STATE_OPEN:
        return f"open still: {len(approval.votes)} of {approval.quorum} have voted"
    return f"{_decision(approval.decision)} by {approval.decider}"


def _asked(approval: Approval, now: datetime) -> Iterator[str]:
    allowed = ", ".join(map(_decision, approval.allowed))
    yield f"approval:  {approval.name}, {enum_word(ApprovalKind.DESCRIPTOR, approval.kind)}: {allowed}"
    yield f"asked by:  {approval.flow}, {approval.run}, {approval.instance}"
    yield f"asked:     {moment_text(approval.create_time, now)}"
    many = f"; {approval.quorum} must say the same" if approval.quorum > 1 else ""
    yield f"of:        {printable(', '.join(approval.assignees)) or 'everybody whose role decides'}{many}"
    if approval.four_eyes:
        rules = ", ".join(enum_word(FourEyes.DESCRIPTOR, rule) for rule in approval.four_eyes)
        yield f"four eyes: {rules}"
    what = enum_word(OnTimeout.DESCRIPTOR, approval.on_timeout)
    yield f"digest:    {approval.subject_digest}"
    yield f"deadline:  {moment_text(approval.deadline_time, now)}, then: {what}"


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"{_INDENT}{line}".rstrip() for line in lines)] if lines else []


def _story(approval: Approval, now: datetime) -> Iterator[str]:
    said = [(vote.vote_time.ToMicroseconds(), vote.vote_time, _vote(vote)) for vote in approval.votes]
    said += [(event.create_time.ToMicroseconds(), event.create_time, _event(event)) for event in approval.history]
    for _, moment, text in sorted(said, key=lambda one: one[0]):
        yield f"{moment_text(moment, now)}  {one_line(text)}"


def _vote(vote: Vote) -> str:
    option = f" {vote.selected_option}" if vote.selected_option else ""
    return because(f"{vote.voter}: {_decision(vote.kind)}{option}", vote.reason)


def _event(event: ApprovalEvent) -> str:
    match event.WhichOneof("event"):
        case "escalated":
            return f"nobody decided in time; {', '.join(event.escalated.to)} is asked as well"
        case "delegated":
            return because(f"{event.delegated.delegator} asks {event.delegated.to} instead", event.delegated.reason)
        case "voided":
            return f"{event.voided.message}; it is asked for again"
        case "commented":
            return f"{event.commented.author} says: {event.commented.text}"
        case "reminded":
            return f"people were reminded: {event.reminded.number}"
        case _:
            return "something happened that this version does not know; update to read it"


def _now(approval: Approval, now: datetime, caller: str) -> Iterator[str]:
    if approval.state == Approval.STATE_OPEN:
        if any(vote.voter == caller for vote in approval.votes):
            yield "open; you have voted"
        else:
            yield "open; you may decide it" if approval.token else "open; it is for others to decide"
        if approval.HasField("due_time") and approval.due_time != approval.deadline_time:
            yield f"its rung ends {moment_text(approval.due_time, now)}"
        return
    if approval.state != Approval.STATE_DECIDED:
        reason = enum_word(CloseReason.DESCRIPTOR, approval.close_reason)
        yield f"closed {moment_text(approval.close_time, now)}: {reason}"
        return
    option = f" {approval.selected_option}" if approval.selected_option else ""
    by = "by itself" if approval.automatic else f"by {approval.decider}"
    known = "" if approval.authenticated else ", whom the server did not know"
    line = because(f"{_decision(approval.decision)}{option} {by}{known}", approval.reason)
    yield f"{moment_text(approval.close_time, now)}  {one_line(line)}"
    if approval.content:
        yield from bytes_text("content", approval.content).split("\n")


def _decision(kind: DecisionKind.ValueType) -> str:
    return enum_word(DecisionKind.DESCRIPTOR, kind)
