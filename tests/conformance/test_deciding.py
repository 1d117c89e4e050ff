"""Approvals: what closes them, what a token binds, and who wins."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from perdure.runlog.states import RunState
from perdure.v1.decisions_pb2 import APPROVAL_KIND_REVIEW, FOUR_EYES_NOT_AUTHOR, FOUR_EYES_NOT_STARTER, DecisionKind
from perdure_control_plane.domain.approval import ApprovalState, Decision, FourEyes, TokenKeys
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import (
    ApprovalClosed,
    ApprovalDecided,
    DataCorrupt,
    DeciderNotAllowed,
    FieldInvalid,
    RequestIdReused,
    TokenMismatch,
    TooLarge,
)
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.storage.tables import approvals
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.stop_run import stop_run
from tests.conformance.conftest import asked_id

ANYTHING = {"allowed": DecisionKind.values()[1:], "kind": APPROVAL_KIND_REVIEW, "options": ["one", "two"]}
"""A question that may be answered in any way."""


async def ask(house: Any, gated: Any, **fields: Any) -> Any:
    """Opens the gate's question and pauses; the approval with its token."""
    await gated.send(*gated.asks("gate", **fields))
    await gated.send(gated.paused())
    return await get_approval(house.store, house.keys, OPEN_CALLER, asked_id(gated.run_id))


async def decide(house: Any, shown: Any, decision: Decision = Decision.APPROVED, **fields: Any) -> Any:
    asked = Deciding(shown.approval.approval_id, decision, shown.token, "", "")
    return await decide_approval(house.store, house.limits, house.keys, OPEN_CALLER, replace(asked, **fields))


async def test_a_decision_is_recorded_and_queues_the_run(house: Any, gated: Any) -> None:
    shown = await ask(house, gated)

    approval = await decide(house, shown)

    assert (approval.state, approval.decision, approval.decider) == ("DECIDED", "APPROVED", "anonymous")
    assert not approval.authenticated
    assert approval.subject == b'{"prompt":"go on?"}'
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED


async def test_an_edit_is_kept_with_the_decision_and_shown_with_it(house: Any, gated: Any) -> None:
    shown = await ask(house, gated, **ANYTHING)

    approval = await decide(house, shown, Decision.EDITED, content='{ "b": 1, "a": "é" }'.encode())

    assert approval.content == '{"a":"é","b":1}'.encode()
    assert (await get_approval(house.store, house.keys, OPEN_CALLER, approval.approval_id)).approval == approval
    assert (await house.kinds(gated.run_id))[-2:] == ["fact_content", "fact_recorded"]
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED


async def test_one_of_the_options_is_selected(house: Any, gated: Any) -> None:
    shown = await ask(house, gated, **ANYTHING)

    approval = await decide(house, shown, Decision.SELECTED, selected_option="two")

    assert (approval.decision, approval.selected_option, approval.content) == ("SELECTED", "two", b"")


@pytest.mark.parametrize(
    ("decision", "fields", "field"),
    [
        (Decision.EDITED, {}, "content"),
        (Decision.PROVIDED, {"content": b"{"}, "content"),
        (Decision.PROVIDED, {"content": b"[1]"}, "content"),
        (Decision.APPROVED, {"content": b"{}"}, "content"),
        (Decision.SELECTED, {}, "selected_option"),
        (Decision.SELECTED, {"selected_option": "three"}, "selected_option"),
        (Decision.APPROVED, {"selected_option": "one"}, "selected_option"),
    ],
)
async def test_what_a_decision_says_must_be_as_the_node_asks_for_it(
    house: Any, gated: Any, decision: Decision, fields: dict[str, Any], field: str
) -> None:
    shown = await ask(house, gated, **ANYTHING)
    before = await house.counts()

    with pytest.raises(FieldInvalid) as refusal:
        await decide(house, shown, decision, **fields)

    assert [fault.field for fault in refusal.value.faults] == [field]
    assert await house.counts() == before


async def test_content_that_is_too_large_is_refused_before_it_is_read(house: Any, gated: Any) -> None:
    house.limits = Limits(max_payload_bytes=100)
    shown = await ask(house, gated, **ANYTHING)

    with pytest.raises(TooLarge):
        await decide(house, shown, Decision.PROVIDED, content=b'{"a":"' + b"x" * 100 + b'"}')


async def test_content_is_looked_at_for_bearers_of_the_token_alone(house: Any, gated: Any) -> None:
    shown = await ask(house, gated, **ANYTHING)

    with pytest.raises(TokenMismatch):
        await decide(house, shown, Decision.PROVIDED, content=b"[1]", token="k1.00")


async def test_a_decision_with_other_content_is_another_decision(house: Any, gated: Any) -> None:
    shown = await ask(house, gated, **ANYTHING)
    first = await decide(house, shown, Decision.EDITED, content=b'{"a":1}')

    assert await decide(house, shown, Decision.EDITED, content=b'{ "a": 1 }') == first
    with pytest.raises(ApprovalDecided):
        await decide(house, shown, Decision.EDITED, content=b'{"a":2}')


ADA = Caller(Principal("keys/ada"), authenticated=True, role=Role.ADMIN)
BOB = Caller(Principal("keys/bob"), authenticated=True, role=Role.REVIEWER)


async def started_by_ada(house: Any, manifest: str, *rules: int) -> str:
    """The approval of a gate that asks under these rules. Ada has started its flow, and stored its playbook."""
    await house.published(manifest, ADA)
    shown = await ask(house, await house.held(manifest, ADA), four_eyes=rules)
    return str(shown.approval.approval_id)


@pytest.mark.parametrize("rule", [FOUR_EYES_NOT_STARTER, FOUR_EYES_NOT_AUTHOR])
async def test_whom_four_eyes_keep_from_deciding_gets_no_token_and_decides_with_none(
    house: Any, manifests: Any, rule: int
) -> None:
    approval_id = await started_by_ada(house, manifests["gated"], rule)
    hers = await get_approval(house.store, house.keys, ADA, approval_id)
    his = await get_approval(house.store, house.keys, BOB, approval_id)
    asked = Deciding(approval_id, Decision.APPROVED, his.token, "", "")

    with pytest.raises(DeciderNotAllowed) as refusal:
        await decide_approval(house.store, house.limits, house.keys, ADA, asked)
    decided = await decide_approval(house.store, house.limits, house.keys, BOB, asked)

    assert hers.token == ""
    assert refusal.value.metadata["rule"] == FourEyes(hers.approval.four_eyes[0]).lower()
    assert (decided.decider, decided.authenticated) == (BOB.principal, True)


async def test_without_a_rule_whoever_started_it_may_decide(house: Any, manifests: Any) -> None:
    approval_id = await started_by_ada(house, manifests["gated"])
    shown = await get_approval(house.store, house.keys, ADA, approval_id)

    asked = Deciding(approval_id, Decision.APPROVED, shown.token, "", "")
    decided = await decide_approval(house.store, house.limits, house.keys, ADA, asked)

    assert decided.decider == ADA.principal


async def test_a_server_that_runs_open_knows_nobody_to_keep_from_deciding(house: Any, gated: Any) -> None:
    shown = await ask(house, gated, four_eyes=[FOUR_EYES_NOT_STARTER, FOUR_EYES_NOT_AUTHOR])

    assert (await decide(house, shown)).decision == "APPROVED"


async def test_the_token_is_for_those_alone_whose_role_decides(house: Any, gated: Any) -> None:
    approval_id = (await ask(house, gated)).approval.approval_id
    tokens = {}
    for role in Role:
        caller = Caller(Principal(f"keys/{role}"), authenticated=True, role=role)
        tokens[role] = (await get_approval(house.store, house.keys, caller, approval_id)).token

    assert {role for role, token in tokens.items() if token} == {Role.ADMIN, Role.REVIEWER}


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
        {"first_assignees": ("ada",)},
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
        await get_approval(house.store, house.keys, OPEN_CALLER, asked_id(gated.run_id))

    await house.execute(update(approvals).values(subject_digest=digest[0][0]))
