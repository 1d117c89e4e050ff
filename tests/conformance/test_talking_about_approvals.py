"""What people do with an open approval beside deciding it, what closes it, and how it is found."""

from typing import Any

import pytest

from perdure.runlog.head import Stop
from perdure.runlog.states import RunState
from perdure.v1 import instances_pb2
from perdure.v1.decisions_pb2 import FOUR_EYES_NOT_STARTER
from perdure.v1.fact_events_pb2 import WaitClosed
from perdure.v1.run_events_pb2 import RunEvent
from perdure_control_plane.domain.approval import ApprovalState, CloseReason, Decision, names_of
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import (
    ApprovalClosed,
    ApprovalDecided,
    ApprovalVoted,
    DeciderNotAllowed,
    FieldInvalid,
    NotRequester,
    RemarksFull,
    RequestIdReused,
)
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.domain.queries import ApprovalFilter
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.usecases.comment_approval import Commenting, comment_approval
from perdure_control_plane.usecases.decide_approval import Deciding, decide_together
from perdure_control_plane.usecases.delegate_approval import Delegating, delegate_approval
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.revoke_key import revoke_key
from perdure_control_plane.usecases.stop_run import stop_run
from perdure_control_plane.usecases.withdraw_approval import Withdrawing, withdraw_approval
from tests.conformance.conftest import asked_id, place
from tests.conformance.test_voting import ADA, BOB, CY, ROOT, ask, say
from tests.conformance.test_waiting import rest

pytestmark = pytest.mark.usefixtures("keys_of_people")

OPERATOR = Caller(Principal("keys/ops"), authenticated=True, role=Role.OPERATOR)


async def shown(house: Any, approval_id: str) -> Any:
    return (await get_approval(house.store, house.keys, OPEN_CALLER, approval_id)).approval


async def delegate(house: Any, approval_id: str, who: Caller, to: str, request_id: str = "") -> Any:
    return await delegate_approval(house.store, house.limits, who, Delegating(approval_id, to, "on leave", request_id))


async def withdraw(house: Any, approval_id: str, who: Caller) -> Any:
    return await withdraw_approval(house.store, who, Withdrawing(approval_id, "no longer needed", ""))


async def comment(house: Any, approval_id: str, who: Caller, text: str, request_id: str = "") -> Any:
    return await comment_approval(house.store, house.limits, who, Commenting(approval_id, text, request_id))


async def test_who_delegates_is_asked_no_more_and_the_other_decides(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, assignees=["keys/ada"])

    handed = await delegate(house, approval_id, ADA, "keys/bob")

    assert handed.assignees == ("keys/bob",)
    with pytest.raises(DeciderNotAllowed):
        await say(house, approval_id, ADA)
    assert (await say(house, approval_id, BOB)).state is ApprovalState.DECIDED
    (event,) = (await shown(house, approval_id)).history
    told = event.event.fact_recorded.approval_delegated
    assert (told.delegator, told.to, told.reason) == ("keys/ada", "keys/bob", "on leave")


async def test_who_has_voted_does_not_give_the_place_away(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, assignees=["keys/ada", "keys/bob"], quorum=2)
    await say(house, approval_id, ADA)

    with pytest.raises(ApprovalVoted):
        await delegate(house, approval_id, ADA, "keys/cy")


async def test_who_may_not_decide_does_not_choose_who_does(house: Any, manifests: Any) -> None:
    gated = await house.held(manifests["gated"], ROOT)
    approval_id = await ask(house, gated, assignees=["keys/ada"], four_eyes=[FOUR_EYES_NOT_STARTER])

    with pytest.raises(DeciderNotAllowed):
        await delegate(house, approval_id, ROOT, "keys/cy")


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("keys/dot", r"no good key of a role that decides \(admin, reviewer\) is called keys/dot"),
        ("keys/bob", r"no good key of a role that decides \(admin, reviewer\) is called keys/bob"),
        ("keys/ops", r"no good key of a role that decides \(admin, reviewer\) is called keys/ops"),
        ("keys/cy", "keys/cy may not decide it, by its rule not_starter"),
    ],
)
async def test_nobody_is_asked_who_could_not_decide(house: Any, manifests: Any, to: str, why: str) -> None:
    gated = await house.held(manifests["gated"], CY)
    approval_id = await ask(house, gated, assignees=["keys/ada"], four_eyes=[FOUR_EYES_NOT_STARTER])
    await revoke_key(house.store, OPEN_CALLER, "bob", "")

    with pytest.raises(FieldInvalid, match=f"to: {why}"):
        await delegate(house, approval_id, ADA, to)

    assert (await shown(house, approval_id)).assignees == ("keys/ada",)


async def test_nobody_is_asked_who_has_voted(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, quorum=2, assignees=["role:reviewer", "keys/bob"])
    await say(house, approval_id, ADA)

    with pytest.raises(FieldInvalid, match="to: keys/ada has voted already"):
        await delegate(house, approval_id, BOB, "keys/ada")


async def test_of_somebody_without_a_key_nothing_is_known(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, assignees=["keys/ada"])

    assert (await delegate(house, approval_id, ADA, "users/dot")).assignees == ("users/dot",)


async def test_there_is_an_end_of_delegating_and_all_of_it_is_told(house: Any, gated: Any) -> None:
    house.limits = Limits(max_remarks=2)
    approval_id = await ask(house, gated, assignees=["keys/ada"])
    await delegate(house, approval_id, ADA, "keys/bob")
    back = await delegate(house, approval_id, BOB, "keys/ada")

    with pytest.raises(RemarksFull):
        await delegate(house, approval_id, ADA, "keys/bob")
    assert (back.assignees, len(back.history)) == (("keys/ada",), 2)


async def test_an_admin_asks_somebody_else_as_well(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, assignees=["keys/ada"])

    assert (await delegate(house, approval_id, ROOT, "role:admin")).assignees == ("keys/ada", "role:admin")


@pytest.mark.parametrize("who", [BOB, OPEN_CALLER])
async def test_others_do_not_delegate(house: Any, gated: Any, who: Caller) -> None:
    approval_id = await ask(house, gated, assignees=["keys/ada"])

    with pytest.raises(DeciderNotAllowed):
        await delegate(house, approval_id, who, "keys/cy")


@pytest.mark.parametrize("assignees", [[], ["keys/ada", "keys/bob"]])
async def test_whoever_is_asked_already_is_not_asked_again(house: Any, gated: Any, assignees: list[str]) -> None:
    approval_id = await ask(house, gated, assignees=assignees)

    with pytest.raises(FieldInvalid):
        await delegate(house, approval_id, ADA, "keys/bob")


async def test_the_same_request_again_delegates_once_and_another_is_a_conflict(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated, assignees=["role:reviewer"])
    first = await delegate(house, approval_id, ADA, "keys/cy", "r1")

    assert await delegate(house, approval_id, ADA, "keys/cy", "r1") == first
    with pytest.raises(RequestIdReused):
        await delegate(house, approval_id, ADA, "keys/bob", "r1")


async def test_whoever_started_the_flow_withdraws_and_the_node_is_to_fail(house: Any, manifests: Any) -> None:
    gated = await house.held(manifests["gated"], OPERATOR)
    approval_id = await ask(house, gated)

    with pytest.raises(NotRequester):
        await withdraw(house, approval_id, BOB)
    withdrawn = await withdraw(house, approval_id, OPERATOR)

    assert (withdrawn.state, withdrawn.close_reason) == (ApprovalState.CLOSED, CloseReason.WITHDRAWN)
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED
    with pytest.raises(ApprovalClosed) as refusal:
        await say(house, approval_id, BOB)
    assert refusal.value.metadata["close_reason"] == "WITHDRAWN"


async def test_what_people_say_is_kept_in_order_with_the_approval(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated)

    await comment(house, approval_id, ADA, "which region?", "r1")
    await comment(house, approval_id, ADA, "which region?", "r1")
    await comment(house, approval_id, OPERATOR, "north")
    await say(house, approval_id, BOB)

    said = [one.event.fact_recorded.approval_commented for one in (await shown(house, approval_id)).history]
    assert [(one.author, one.text) for one in said] == [("keys/ada", "which region?"), ("keys/ops", "north")]
    with pytest.raises(ApprovalDecided):
        await comment(house, approval_id, ADA, "too late")


async def test_there_is_an_end_of_comments(house: Any, gated: Any) -> None:
    house.limits = Limits(max_remarks=1)
    approval_id = await ask(house, gated)
    await comment(house, approval_id, ADA, "first")

    with pytest.raises(RemarksFull):
        await comment(house, approval_id, BOB, "second")


async def test_a_decision_is_a_reason(house: Any, gated: Any) -> None:
    decided = await ask(house, gated)
    await say(house, decided, ADA)
    assert (await shown(house, decided)).close_reason is CloseReason.DECIDED


async def test_nobody_decides_what_expired(house: Any, gated: Any, clock: Any) -> None:
    await house.sweep()
    approval_id = await ask(house, gated)
    await rest(house, clock, 61)

    assert (await shown(house, approval_id)).close_reason is CloseReason.EXPIRED


async def test_a_stop_closes_what_is_open(house: Any, gated: Any) -> None:
    approval_id = await ask(house, gated)
    await stop_run(house.store, OPEN_CALLER, gated.run_id, Stop.CANCEL, "", "")

    assert (await shown(house, approval_id)).close_reason is CloseReason.STOPPED


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (instances_pb2.FAILURE_CAUSE_JUMPED_OVER, CloseReason.JUMPED_OVER),
        (instances_pb2.FAILURE_CAUSE_STOPPED, CloseReason.STOPPED),
    ],
)
async def test_what_the_walk_needs_no_more_says_why(house: Any, gated: Any, cause: Any, reason: CloseReason) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(RunEvent(wait_closed=WaitClosed(instance=place("gate"), cause=cause)))

    assert (await shown(house, asked_id(gated.run_id))).close_reason is reason


async def test_a_run_that_fails_elsewhere_closes_what_is_open(house: Any, gated: Any) -> None:
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.ended("FAILED", cause=instances_pb2.FAILURE_CAUSE_EXIT_CODE))

    assert (await shown(house, asked_id(gated.run_id))).close_reason is CloseReason.RUN_ENDED


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ApprovalFilter(assignees=("keys/ada",)), True),
        (ApprovalFilter(assignees=("keys/a_a",)), False),
        (ApprovalFilter(assignees=("keys/ADA",)), False),
        (ApprovalFilter(assignees=("keys/ad",)), False),
        (ApprovalFilter(assignees=("keys/ada", "role:admin")), True),
        (ApprovalFilter(assignees=("keys/ada", "role:reviewer")), False),
        (ApprovalFilter(asks_one_of=names_of(ROOT)), True),
        (ApprovalFilter(asks_one_of=names_of(BOB)), False),
        (ApprovalFilter(is_overdue=True), False),
    ],
)
async def test_it_is_found_by_whom_it_asks(house: Any, gated: Any, wanted: ApprovalFilter, found: bool) -> None:
    await ask(house, gated, assignees=["keys/ada", "role:admin"])

    page = await house.store.read(lambda tx: tx.approvals.page(wanted, None, 10, tx.now))
    assert bool(page) is found


async def test_what_asks_everybody_asks_anybody_and_is_overdue_behind_its_deadline(
    house: Any, gated: Any, clock: Any
) -> None:
    await ask(house, gated)
    clock.advance(61)

    for wanted in (ApprovalFilter(asks_one_of=names_of(CY)), ApprovalFilter(is_overdue=True)):
        assert await house.store.read(lambda tx, wanted=wanted: tx.approvals.page(wanted, None, 10, tx.now))


async def deciding(house: Any, approval_id: str, decision: Decision, reason: str = "") -> Deciding:
    token = house.keys.token(await house.store.read(lambda tx: tx.approvals.get(approval_id)))
    return Deciding(approval_id, decision, token, reason, "")


async def test_of_several_decisions_together_all_count_or_none(house: Any, gated: Any) -> None:
    await gated.send(*gated.asks("gate"), *gated.asks("after"))
    first, other = asked_id(gated.run_id), asked_id(gated.run_id, "after")
    asked = [await deciding(house, first, Decision.APPROVED), await deciding(house, other, Decision.APPROVED)]
    before = await house.counts()

    with pytest.raises(FieldInvalid) as refusal:
        await decide_together(house.store, house.limits, house.keys, ADA, asked)
    decided = await decide_together(house.store, house.limits, house.keys, ADA, asked[:1])

    assert [fault.field for fault in refusal.value.faults] == ["atomic"]
    assert before["audit_events"] + 1 == (await house.counts())["audit_events"]
    assert [one.state for one in decided] == [ApprovalState.DECIDED]
