"""Approvals for which certain people are asked, or several: who may decide, and when enough have said the same."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from perdure.runlog.states import RunState
from perdure.v1.decisions_pb2 import DECISION_KIND_APPROVED, DECISION_KIND_REJECTED, DECISION_KIND_SELECTED
from perdure_control_plane.domain.approval import ApprovalState, Decision
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import ApprovalDecided, ApprovalVoted, DeciderNotAllowed
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.storage.tables import audit_events
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.get_approval import get_approval
from tests.conformance.conftest import asked_id

ADA, BOB, CY = (
    Caller(Principal(f"keys/{name}"), authenticated=True, role=Role.REVIEWER) for name in ("ada", "bob", "cy")
)
ROOT = Caller(Principal("keys/root"), authenticated=True, role=Role.ADMIN)


async def ask(house: Any, gated: Any, **fields: Any) -> str:
    """Opens the gate's question and pauses; the approval's id."""
    await gated.send(*gated.asks("gate", **fields))
    await gated.send(gated.paused())
    return asked_id(gated.run_id)


async def say(house: Any, approval_id: str, who: Caller, decision: Decision = Decision.APPROVED, **said: Any) -> Any:
    """Decides with a token that everybody has seen: it says what is decided about, and not by whom."""
    token = house.keys.token(await house.store.read(lambda tx: tx.approvals.get(approval_id)))
    asked = Deciding(approval_id, decision, token, said.pop("reason", ""), said.pop("request_id", ""), **said)
    return await decide_approval(house.store, house.limits, house.keys, who, asked)


async def test_two_who_say_the_same_decide_and_the_log_has_both_votes(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, quorum=2)

    first = await say(house, approval_id, ADA, reason="looks right")
    waiting = await house.run(gated.run_id)
    second = await say(house, approval_id, BOB)

    assert (first.state, [vote.voter for vote in first.votes]) == (ApprovalState.OPEN, [ADA.principal])
    assert waiting.head.state is RunState.PAUSED
    assert (second.state, second.decision, second.decider) == ("DECIDED", "APPROVED", BOB.principal)
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED
    recorded = await house.store.read(lambda tx: tx.events.last_of_kind_before(gated.run_id, "fact_recorded", 1000))
    decision = recorded.event.fact_recorded.decision
    assert [(vote.voter, vote.reason) for vote in decision.votes] == [("keys/ada", "looks right"), ("keys/bob", "")]
    assert [vote.voter for vote in second.votes] == [ADA.principal, BOB.principal]


async def test_one_who_rejects_is_enough(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, quorum=3)
    await say(house, approval_id, ADA)

    rejected = await say(house, approval_id, BOB, Decision.REJECTED, reason="no")

    assert (rejected.state, rejected.decision, rejected.reason) == ("DECIDED", "REJECTED", "no")


async def test_votes_for_different_options_do_not_add_up(house: Any, gated: Any) -> None:
    allowed = [DECISION_KIND_APPROVED, DECISION_KIND_REJECTED, DECISION_KIND_SELECTED]
    approval_id = await ask(house, gated, quorum=2, allowed=allowed, options=["one", "two"])

    await say(house, approval_id, ADA, Decision.SELECTED, selected_option="one")
    split = await say(house, approval_id, BOB, Decision.SELECTED, selected_option="two")
    decided = await say(house, approval_id, CY, Decision.SELECTED, selected_option="one")

    assert split.state is ApprovalState.OPEN
    assert (decided.state, decided.selected_option) == ("DECIDED", "one")


async def test_nobody_votes_twice_and_the_same_vote_again_changes_nothing(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, quorum=2)
    first = await say(house, approval_id, ADA)
    before = await house.counts()

    assert await say(house, approval_id, ADA) == first
    with pytest.raises(ApprovalVoted):
        await say(house, approval_id, ADA, Decision.REJECTED, reason="on second thoughts")

    assert await house.counts() == before


async def test_whoever_voted_before_it_was_decided_gets_its_decision_with_the_same_vote(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, quorum=2)
    await say(house, approval_id, ADA)
    decided = await say(house, approval_id, BOB)

    assert await say(house, approval_id, ADA) == decided
    with pytest.raises(ApprovalDecided):
        await say(house, approval_id, CY)


async def test_votes_at_once_make_one_decision(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, quorum=2)

    results = await asyncio.gather(*(say(house, approval_id, who) for who in (ADA, BOB, CY)), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["Approval", "Approval", "ApprovalDecided"]
    assert (await house.kinds(gated.run_id)).count("fact_recorded") == 1


async def test_a_vote_and_a_decision_are_told_apart_in_the_audit(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, quorum=2)
    await say(house, approval_id, ADA)
    await say(house, approval_id, BOB)

    human = select(audit_events.c.type, audit_events.c.principal).where(audit_events.c.type.like("human.%"))
    told = [tuple(row) for row in await house.execute(human.order_by(audit_events.c.recorded_at))]
    assert told == [("human.vote", "keys/ada"), ("human.decision", "keys/bob")]


@pytest.mark.parametrize("assignees", [["keys/ada"], ["keys/cy", "role:reviewer"]])
async def test_those_who_are_asked_decide_by_name_or_by_role(house: Any, gated: Any, assignees: list[str]) -> None:
    approval_id = await ask(house, gated, assignees=assignees)

    assert (await get_approval(house.store, house.keys, ADA, approval_id)).token
    assert (await say(house, approval_id, ADA)).decider == ADA.principal


@pytest.mark.parametrize(
    ("who", "fields", "rule"),
    [
        (BOB, {"assignees": ["keys/ada"]}, "assignees"),
        (ROOT, {"assignees": ["role:reviewer"]}, "assignees"),
        (OPEN_CALLER, {"assignees": ["anonymous"]}, "identity"),
        (OPEN_CALLER, {"quorum": 2}, "identity"),
    ],
)
async def test_others_get_no_token_and_a_token_alone_is_not_enough(
    house: Any, gated: Any, who: Caller, fields: dict[str, Any], rule: str
) -> None:
    approval_id = await ask(house, gated, **fields)
    before = await house.counts()

    with pytest.raises(DeciderNotAllowed) as refusal:
        await say(house, approval_id, who)

    assert refusal.value.metadata["rule"] == rule
    assert (await get_approval(house.store, house.keys, who, approval_id)).token == ""
    assert await house.counts() == before
