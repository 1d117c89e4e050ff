"""Takes a person's decision, or vote."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from perdure.audit.events import AuditDetail, AuditType
from perdure.runlog.decisions import decision_kind
from perdure.runlog.instances import Instance, parse_instance
from perdure.runlog.json_objects import json_bytes
from perdure.v1 import approval_facts_pb2, fact_events_pb2, plans_pb2
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import (
    Approval,
    ApprovalState,
    Decision,
    TokenKeys,
    Vote,
    check_decidable,
    check_decider,
    check_vote,
    is_enough,
)
from perdure_control_plane.domain.audit import Act, of_content, of_reason
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import TooLarge, field_invalid
from perdure_control_plane.domain.ids import ApprovalId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.origin import requested_by
from perdure_control_plane.domain.run import Run
from perdure_control_plane.usecases.fold_run import plan_of
from perdure_control_plane.usecases.json_objects import check_schema, json_value
from perdure_control_plane.usecases.ports import Order, Store, Transaction
from perdure_control_plane.usecases.readings.approval_contents import wait_of, with_contents
from perdure_control_plane.usecases.readings.deciders import excluded_by
from perdure_control_plane.usecases.request_ids import is_repetition


@dataclass(frozen=True, slots=True)
class Deciding:
    """What is decided, with the token that binds it to what was shown."""

    approval_id: ApprovalId
    decision: Decision
    token: str
    reason: str
    request_id: str
    content: bytes = b""
    """JSON; of decisions that say something themselves."""
    selected_option: str = ""


async def decide_approval(store: Store, limits: Limits, keys: TokenKeys, caller: Caller, asked: Deciding) -> Approval:
    """Records a decision; the first one wins. Where several people are to say the same, each of them votes, and the vote
    that makes enough of them decides. The same again returns the first answer.

    Raises FieldInvalid, TooLarge, NotFound, TokenMismatch, ApprovalClosed, ApprovalDecided, ApprovalVoted,
    DecisionNotAllowed, DeciderNotAllowed, RequestIdReused.
    """
    _check_said(asked)
    content = await _content(store, limits, keys, asked)
    return await store.write(lambda tx: _decide(tx, keys, caller, asked, content), Order.GUARDED)


async def decide_together(
    store: Store, limits: Limits, keys: TokenKeys, caller: Caller, asked: Sequence[Deciding]
) -> list[Approval]:
    """Records several decisions in one commit: all of them, or none. They are of one node of one run.

    Raises as `decide_approval`, of the first that is refused, and FieldInvalid where they are not of one node.
    """
    for one in asked:
        _check_said(one)
    contents = [await _content(store, limits, keys, one) for one in asked]

    def body(tx: Transaction) -> list[Approval]:
        known = [tx.approvals.get(one.approval_id) for one in asked]
        places = {(approval.run_id, parse_instance(approval.instance).node) for approval in known}
        if len(places) > 1:
            raise field_invalid("atomic", "is for approvals of one node of one run; decide the others each by itself")
        return [_decide(tx, keys, caller, one, content) for one, content in zip(asked, contents, strict=True)]

    return await store.write(body, Order.GUARDED)


def _decide(tx: Transaction, keys: TokenKeys, caller: Caller, asked: Deciding, content: bytes) -> Approval:
    known = tx.approvals.get(asked.approval_id)
    keys.check(known, asked.token)
    excluded = excluded_by(tx, known)
    run = tx.runs.lock(known.run_id)
    approval = with_contents(tx, tx.approvals.get(asked.approval_id))
    said = (asked.decision.value, asked.reason, content, asked.selected_option)
    repeated = is_repetition(tx, caller, asked.request_id, "DecideApproval", approval.name, *said)
    if repeated or _has_said_so(approval, caller, asked, content):
        return approval
    check_decidable(approval, asked.decision, asked.selected_option)
    check_decider(approval, caller, excluded)
    _take(tx, run, approval, caller, asked, content)
    return with_contents(tx, tx.approvals.get(asked.approval_id))


def _take(tx: Transaction, run: Run, approval: Approval, caller: Caller, asked: Deciding, content: bytes) -> None:
    """Keeps what was said, and lets it count where enough people have said the same."""
    vote = Vote(caller.principal, asked.decision, asked.selected_option, asked.reason, tx.now)
    several = approval.quorum > 1
    if several:
        check_vote(approval, vote)
        tx.approvals.add_vote(approval, vote)
    decides = is_enough(approval, vote)
    if decides:
        votes = (*approval.votes, vote) if several else ()
        tx.log.append(run, _events(tx, caller, approval, asked, content, votes), requested_by(caller))
    type_ = AuditType.HUMAN_DECISION if decides else AuditType.HUMAN_VOTE
    tx.audit.record(Act(type_, caller, approval.name, asked.request_id, _details(run, asked, content)))


def _check_said(asked: Deciding) -> None:
    if asked.decision is Decision.REJECTED and not asked.reason.strip():
        raise field_invalid("reason", "is required to reject; whoever mends it reads it")
    for field, given, needed in (
        ("content", asked.content, asked.decision.has_content),
        ("selected_option", asked.selected_option, asked.decision is Decision.SELECTED),
    ):
        if bool(given) != needed:
            word = "is required where" if needed else "is for other decisions;"
            raise field_invalid(field, f"{word} the decision is {asked.decision}")


async def _content(store: Store, limits: Limits, keys: TokenKeys, asked: Deciding) -> bytes:
    """The content as it is kept, once it was found to be as the node's schema says. Before anything is locked."""
    if not asked.decision.has_content:
        return b""
    if len(asked.content) > limits.max_payload_bytes:
        raise TooLarge("content", len(asked.content), limits.max_payload_bytes)
    value = json_value(asked.content, "content")

    def schema_of(tx: Transaction) -> bytes:
        approval = tx.approvals.get(asked.approval_id)
        keys.check(approval, asked.token)
        opened = wait_of(tx, approval).approval
        if opened.question:
            return opened.content_schema
        return _asking_node(tx, tx.runs.get(approval.run_id), parse_instance(approval.instance)).content_schema

    schema = await store.read(schema_of)
    if schema:
        check_schema(schema, value, "content")
    return json_bytes(value)


def _asking_node(tx: Transaction, run: Run, where: Instance) -> plans_pb2.ApprovalNode:
    node = plan_of(tx, run).nodes[where.node]
    return node.map.node.approval if node.HasField("map") else node.approval


def _details(run: Run, asked: Deciding, content: bytes) -> dict[AuditDetail, str]:
    said = {AuditDetail.RUN: run.name, AuditDetail.DECISION: asked.decision.value}
    if asked.selected_option:
        said[AuditDetail.SELECTED_OPTION] = asked.selected_option
    return {**said, **of_reason(asked.reason), **of_content(content)}


def _has_said_so(approval: Approval, caller: Caller, asked: Deciding, content: bytes) -> bool:
    """Whether the caller has said the very same before, and it counts."""
    given = (caller.principal, asked.decision, asked.selected_option, asked.reason)
    if any((vote.voter, vote.decision, vote.selected_option, vote.reason) == given for vote in approval.votes):
        return approval.state in (ApprovalState.OPEN, ApprovalState.DECIDED)
    if approval.state is not ApprovalState.DECIDED or approval.decider != caller.principal:
        return False
    known = (approval.decision, approval.reason, approval.content_digest, approval.selected_option)
    return known == (asked.decision, asked.reason, _digest(content), asked.selected_option)


def _events(
    tx: Transaction, caller: Caller, approval: Approval, asked: Deciding, content: bytes, votes: Sequence[Vote]
) -> list[RunEvent]:
    where = parse_instance(approval.instance).message()
    decision = approval_facts_pb2.Decision(
        approval_id=approval.approval_id,
        kind=decision_kind(asked.decision),
        decider=caller.principal,
        authenticated=caller.authenticated,
        subject_digest=approval.subject_digest,
        reason=asked.reason,
        content_digest=_digest(content),
        selected_option=asked.selected_option,
        votes=map(_vote, votes),
    )
    decision.decide_time.FromMicroseconds(tx.now)
    recorded = RunEvent(fact_recorded=fact_events_pb2.FactRecorded(instance=where, decision=decision))
    if not content:
        return [recorded]
    return [RunEvent(fact_content=fact_events_pb2.FactContent(instance=where, json=content)), recorded]


def _vote(vote: Vote) -> approval_facts_pb2.Vote:
    cast = approval_facts_pb2.Vote(
        voter=vote.voter,
        kind=decision_kind(vote.decision),
        selected_option=vote.selected_option,
        reason=vote.reason,
    )
    cast.vote_time.FromMicroseconds(vote.voted_at)
    return cast


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() if content else b""
