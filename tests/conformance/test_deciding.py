"""Approvals: what closes them, what a token binds, and who wins."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from perdure.runlog.states import RunState
from perdure_control_plane.domain.approval import ApprovalState, Decision, TokenKeys
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.errors import (
    ApprovalClosed,
    ApprovalDecided,
    DataCorrupt,
    FieldInvalid,
    RequestIdReused,
    TokenMismatch,
)
from perdure_control_plane.storage.tables import approvals
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.stop_run import stop_run


async def ask(house: Any, gated: Any) -> Any:
    """Opens the gate's question and pauses; the approval with its token."""
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    return await get_approval(house.store, house.keys, f"{gated.run_id}-gate-1")


async def decide(house: Any, shown: Any, decision: Decision = Decision.APPROVED, **fields: Any) -> Any:
    asked = Deciding(shown.approval.approval_id, decision, shown.token, "", "")
    return await decide_approval(house.store, house.keys, OPEN_CALLER, replace(asked, **fields))


async def test_a_decision_is_recorded_and_queues_the_run(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)

    approval = await decide(house, shown)

    assert (approval.state, approval.decision, approval.decider) == ("DECIDED", "APPROVED", "anonymous")
    assert not approval.authenticated
    assert approval.subject == b'{"prompt":"go on?"}'
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED


async def test_the_same_decision_again_returns_the_first_answer(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)
    first = await decide(house, shown)
    before = await house.counts()

    assert await decide(house, shown) == first
    assert await house.counts() == before


async def test_another_decision_is_refused(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)
    await decide(house, shown)
    before = await house.counts()

    with pytest.raises(ApprovalDecided) as refusal:
        await decide(house, shown, Decision.REJECTED, reason="on second thoughts")

    assert refusal.value.metadata["decision"] == "APPROVED by anonymous"
    assert await house.counts() == before


async def test_of_two_decisions_at_once_one_wins(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)

    results = await asyncio.gather(
        decide(house, shown),
        decide(house, shown, Decision.REJECTED, reason="no"),
        return_exceptions=True,
    )

    assert sorted(type(result).__name__ for result in results) == ["Approval", "ApprovalDecided"]
    assert (await house.kinds(gated.run_id)).count("fact_recorded") == 1


async def test_a_rejection_needs_a_reason(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)

    with pytest.raises(FieldInvalid, match="reason"):
        await decide(house, shown, Decision.REJECTED)


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "another"},
        {"instance": "gate:2#1"},
        {"subject_digest": b"x" * 32},
        {"plan_digest": b"x" * 32},
        {"allowed": (Decision.APPROVED,)},
        {"audience": ("ada",)},
        {"nonce": "another"},
        {"approval_id": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_token_binds_everything_that_was_asked(house: Any, gated: Any, change: dict[str, Any]) -> None:
    shown = await ask(house, gated)
    forged = house.keys.token(replace(shown.approval, **change))

    with pytest.raises(TokenMismatch):
        await decide(house, shown, token=forged)

    assert (await house.run(gated.run_id)).head.state is RunState.PAUSED


@pytest.mark.parametrize("token", ["", "k1", "k1.", "k2.00", "garbage", "k1.zz"])
async def test_a_token_that_is_none_is_refused(house: Any, gated: Any, token: str) -> None:
    shown = await ask(house, gated)

    with pytest.raises(TokenMismatch):
        await decide(house, shown, token=token)


async def test_a_token_of_a_key_that_is_no_longer_current_is_still_good(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)
    house.keys = TokenKeys("k2", {"k1": house.keys.secrets["k1"], "k2": b"another" * 5})

    approval = await decide(house, shown)

    assert approval.state is ApprovalState.DECIDED


async def test_an_approval_nobody_decides_expires_and_cannot_be_decided_any_more(
    house: Any, clock: Any, gated: Any
) -> None:
    shown = await ask(house, gated)
    await house.sweep()
    for _ in range(13):
        clock.advance(5)
        await house.sweep()

    with pytest.raises(ApprovalClosed) as refusal:
        await decide(house, shown)

    assert refusal.value.metadata["state"] == "EXPIRED"
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED


async def test_stopping_the_run_closes_its_approvals(house: Any, gated: Any) -> None:
    from perdure.runlog.head import Stop

    shown = await ask(house, gated)
    await stop_run(house.store, OPEN_CALLER, gated.run_id, Stop.INTERRUPT, "", "")

    with pytest.raises(ApprovalClosed) as refusal:
        await decide(house, shown)

    assert refusal.value.metadata["state"] == "CLOSED"
    assert (await house.run(gated.run_id)).head.state is RunState.INTERRUPTED


async def test_a_request_id_stands_for_one_request(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)
    await decide(house, shown, request_id="r1")

    again = await decide(house, shown, request_id="r1")
    with pytest.raises(RequestIdReused):
        await decide(house, shown, Decision.REJECTED, reason="no", request_id="r1")

    assert again.decision is Decision.APPROVED


async def test_a_subject_that_is_not_the_frozen_one_is_not_shown(house: Any, gated: Any) -> None:
    await ask(house, gated)
    digest = await house.execute(select(approvals.c.subject_digest))
    await house.execute(update(approvals).values(subject_digest=b"y" * 32))

    with pytest.raises(DataCorrupt):
        await get_approval(house.store, house.keys, f"{gated.run_id}-gate-1")

    await house.execute(update(approvals).values(subject_digest=digest[0][0]))
