"""What becomes of requests that nobody decides in time: reminders, rungs of a ladder, going on without a person, expiry."""

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import select, update

from perdure.runlog.states import RunState
from perdure.v1.decisions_pb2 import (
    DECISION_KIND_REJECTED,
    DECISION_KIND_SELECTED,
    ON_TIMEOUT_CONTINUE,
    ON_TIMEOUT_ESCALATE,
    Escalation,
)
from perdure_control_plane.domain.approval import Approval, ApprovalState, Decision
from perdure_control_plane.domain.errors import ApprovalDecided
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.storage.tables import audit_events, run_events
from perdure_control_plane.usecases.overdue_approvals import FollowUp
from tests.conformance.conftest import asked_id
from tests.conformance.test_voting import ADA, BOB, ROOT, say
from tests.conformance.test_waiting import rest


def seconds(number: int) -> Duration:
    return Duration(seconds=number)


async def ask(house: Any, gated: Any, **fields: Any) -> str:
    """Opens the gate's question for a minute and pauses; the approval's id."""
    await house.sweep()
    await gated.send(*gated.asks("gate", **fields))
    await gated.send(gated.paused())
    return asked_id(gated.run_id)


async def now(house: Any, approval_id: str) -> Approval:
    return await house.store.read(lambda tx: tx.approvals.get(approval_id))


async def told(house: Any) -> list[tuple[str, str]]:
    """What the audit says of people, and by whom."""
    human = select(audit_events.c.type, audit_events.c.principal).where(audit_events.c.type.like("human.%"))
    return [tuple(row) for row in await house.execute(human.order_by(audit_events.c.recorded_at))]


async def last_fact(house: Any, run_id: str) -> Any:
    recorded = await house.store.read(lambda tx: tx.events.last_of_kind_before(run_id, "fact_recorded", 1000))
    return recorded.event.fact_recorded


LADDER = [Escalation(to=["keys/bob"], timeout=seconds(30)), Escalation(to=["role:admin"])]


async def test_people_are_reminded_at_each_time_and_it_stays_open(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, reminders=[seconds(10), seconds(20)])

    await rest(house, clock, 11)
    once = await now(house, approval_id)
    await rest(house, clock, 10)
    twice = await now(house, approval_id)
    await rest(house, clock, 20)

    assert (once.reminders, twice.reminders) == (1, 2)
    assert await now(house, approval_id) == twice
    assert (twice.state, twice.deadline_at - twice.created_at) == (ApprovalState.OPEN, 60 * SECOND)
    assert await told(house) == [("human.reminded", "system"), ("human.reminded", "system")]
    assert (await house.run(gated.run_id)).head.state is RunState.PAUSED


async def test_after_its_reminders_it_expires_when_its_time_is_over(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, reminders=[seconds(10)])
    await rest(house, clock, 11)

    await rest(house, clock, 50)

    assert (await now(house, approval_id)).state is ApprovalState.EXPIRED
    assert (await told(house))[-1] == ("human.expired", "system")


async def test_each_rung_asks_others_as_well_once_and_the_first_deadline_is_kept(
    house: Any, gated: Any, clock: Any
) -> None:
    fields = {"assignees": ["keys/ada"], "on_timeout": ON_TIMEOUT_ESCALATE, "escalate_to": LADDER}
    approval_id = await ask(house, gated, **fields)
    asked = await now(house, approval_id)

    await rest(house, clock, 61)
    first = await now(house, approval_id)
    await rest(house, clock, 20)
    still = await now(house, approval_id)
    await rest(house, clock, 11)
    last = await now(house, approval_id)
    await rest(house, clock, 500)

    assert still == first
    assert (first.assignees, first.escalations) == (("keys/ada", "keys/bob"), 1)
    assert (last.assignees, last.escalations) == (("keys/ada", "keys/bob", "role:admin"), 2)
    assert (first.due_at - first.escalated_at, last.due_at) == (30 * SECOND, 0)
    assert {first.deadline_at, last.deadline_at} == {asked.deadline_at}
    assert await now(house, approval_id) == last
    assert await told(house) == [("human.escalated", "system")] * 2


async def test_whoever_was_asked_first_and_whoever_was_asked_last_decide_with_the_first_token(
    house: Any, gated: Any, clock: Any
) -> None:
    fields = {"assignees": ["keys/ada"], "on_timeout": ON_TIMEOUT_ESCALATE, "escalate_to": LADDER, "quorum": 2}
    approval_id = await ask(house, gated, **fields)
    token = house.keys.token(await now(house, approval_id))
    await rest(house, clock, 61)
    await rest(house, clock, 31)

    await say(house, approval_id, ADA)
    decided = await say(house, approval_id, ROOT)

    assert house.keys.token(decided) == token
    assert (decided.state, decided.decider) == (ApprovalState.DECIDED, ROOT.principal)


async def test_it_expires_behind_a_last_rung_that_has_a_time(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_ESCALATE, escalate_to=LADDER[:1])
    await rest(house, clock, 61)
    await rest(house, clock, 31)

    assert (await now(house, approval_id)).state is ApprovalState.EXPIRED
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED


async def test_where_everybody_is_asked_a_rung_leaves_it_to_everybody(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_ESCALATE, escalate_to=LADDER)
    await rest(house, clock, 61)

    assert (await now(house, approval_id)).assignees == ()
    assert (await say(house, approval_id, ADA)).state is ApprovalState.DECIDED


async def test_a_run_goes_on_by_itself_and_says_that_no_person_decided(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_CONTINUE, quorum=2)
    await say(house, approval_id, ADA)
    run = await house.run(gated.run_id)

    await rest(house, clock, 61)
    decided = await now(house, approval_id)

    assert (decided.state, decided.decision, decided.automatic) == (ApprovalState.DECIDED, Decision.APPROVED, True)
    assert (decided.decider, decided.reason) == ("system", "nobody decided in time")
    assert (await house.run(gated.run_id)).head.state is RunState.QUEUED
    assert (await told(house))[-1] == ("human.continued", "system")
    flow_id = run.identity.flow_id
    assert await house.store.read(lambda tx: tx.approvals.passed_instances(flow_id)) == set()
    with pytest.raises(ApprovalDecided):
        await say(house, approval_id, BOB)


async def test_it_goes_on_with_the_default_option_where_one_is_selected(house: Any, gated: Any, clock: Any) -> None:
    allowed = [DECISION_KIND_REJECTED, DECISION_KIND_SELECTED]
    fields = {"allowed": allowed, "options": ["one", "two"], "default_option": "two"}
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_CONTINUE, **fields)

    await rest(house, clock, 61)

    decided = await now(house, approval_id)
    assert (decided.decision, decided.selected_option) == (Decision.SELECTED, "two")


async def test_what_is_not_there_as_it_was_frozen_does_not_go_on_and_is_tried_once(
    house: Any, gated: Any, clock: Any
) -> None:
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_CONTINUE)
    opened = (await now(house, approval_id)).opened_sequence
    damaged = update(run_events).where(run_events.c.run_id == gated.run_id, run_events.c.sequence == opened - 1)
    (other,) = await house.execute(
        select(run_events.c.event).where(run_events.c.run_id == gated.run_id, run_events.c.sequence == opened - 1)
    )
    await house.execute(damaged.values(event=other.event.replace(b"go on?", b"go up?")))

    await rest(house, clock, 61)
    await rest(house, clock, 61)

    assert (await now(house, approval_id)).state is ApprovalState.EXPIRED
    assert await told(house) == [("human.continue_failed", "system"), ("human.expired", "system")]


async def test_an_outage_takes_nobodys_time(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_ESCALATE, escalate_to=LADDER)
    clock.advance(100)
    await house.sweep()

    clock.advance(1)
    too_soon = await house.sweep()
    await rest(house, clock, 60)

    assert too_soon.followed_up == {}
    assert (await now(house, approval_id)).escalations == 1


async def test_two_control_planes_that_sweep_at_once_escalate_once(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_ESCALATE, escalate_to=LADDER, timeout_seconds=1)
    clock.advance(2)

    swept = await asyncio.gather(house.sweep(), house.sweep())

    assert [one.followed_up for one in swept if one.followed_up] == [{approval_id: FollowUp.ESCALATED}]
    assert (await now(house, approval_id)).escalations == 1


async def test_a_decision_that_comes_with_the_deadline_is_the_only_one(house: Any, gated: Any, clock: Any) -> None:
    approval_id = await ask(house, gated, on_timeout=ON_TIMEOUT_CONTINUE, timeout_seconds=1)
    clock.advance(2)

    said = say(house, approval_id, ADA, Decision.REJECTED, reason="no")
    results = await asyncio.gather(house.sweep(), said, return_exceptions=True)

    decided = await now(house, approval_id)
    assert isinstance(results[1], ApprovalDecided) == decided.automatic
    assert (await house.kinds(gated.run_id)).count("fact_recorded") == 1
    assert (await last_fact(house, gated.run_id)).decision.automatic == decided.automatic
