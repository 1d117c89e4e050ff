"""Audit events stand and fall with what they record, and hold nothing of what was said or given."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from perdure.audit.events import AuditType
from perdure.runlog.head import Stop
from perdure_control_plane.api.doorkeeper import STRANGER
from perdure_control_plane.domain.approval import Decision
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import Principal, SessionId
from perdure_control_plane.storage.sqlite import SqliteStore
from perdure_control_plane.storage.tables import audit_events
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.get_approval import get_approval
from perdure_control_plane.usecases.open_store_life import open_store_life
from perdure_control_plane.usecases.pause_run import pause_run
from perdure_control_plane.usecases.record_denials import KINDS_OF_CALLER, KINDS_OF_RESOURCES, MAX_KINDS, Denials
from perdure_control_plane.usecases.retain import retain
from perdure_control_plane.usecases.signal_run import Signalling, signal_run
from perdure_control_plane.usecases.stop_run import stop_run
from tests.conformance.conftest import asked_id
from tests.conformance.stores import go_back

ADA = Caller(Principal("ada"), authenticated=True, peer="ipv4:10.0.0.7:4000", method="/perdure.v1.RunService/PauseRun")
BOB = Caller(Principal("bob"), authenticated=True)
REFUSED = (IntegrityError, sqlite3.IntegrityError, asyncpg.CheckViolationError)
SECRET = "hush-7f3a"
WAITS = """
playbook_id: waits
version: 1.0.0
title: A wait
objective: Wait
nodes:
  - {id: paid, type: wait, signal: paid, timeout_seconds: 60}
"""


async def events(house: Any, *types: AuditType) -> list[dict[str, Any]]:
    """The audit events of some types, or all."""
    rows = [row._asdict() for row in await house.execute(select(audit_events).order_by(audit_events.c.recorded_at))]
    return [{**row, "details": json.loads(row["details"])} for row in rows if not types or row["type"] in types]


async def refuse_audit(house: Any) -> None:
    """Lets the database refuse every audit event."""
    if isinstance(house.store, SqliteStore):
        trigger = "BEGIN SELECT RAISE(ABORT, 'no'); END"
        await house.execute(text(f"CREATE TRIGGER no_audit BEFORE INSERT ON audit_events {trigger}"))
        return
    function = "BEGIN RAISE check_violation; END"
    await house.execute(text(f"CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ {function} $$"))
    each = "FOR EACH ROW EXECUTE FUNCTION no_audit()"
    await house.execute(text(f"CREATE TRIGGER no_audit BEFORE INSERT ON audit_events {each}"))


async def take_audit_again(house: Any) -> None:
    """Ends what `refuse_audit` began."""
    await house.execute(
        text(f"DROP TRIGGER no_audit{'' if isinstance(house.store, SqliteStore) else ' ON audit_events'}")
    )
    if not isinstance(house.store, SqliteStore):
        await house.execute(text("DROP FUNCTION no_audit"))


async def asked(house: Any, gated: Any) -> Any:
    """An open approval of a run that nobody holds."""
    await gated.send(*gated.asks("gate"))
    await gated.send(gated.paused())
    return await house.store.read(lambda tx: tx.approvals.get(asked_id(gated.run_id)))


async def pausing(house: Any, holder: Any) -> None:
    await pause_run(house.store, ADA, holder.run_id, SECRET, "r-1")


async def stopping(house: Any, holder: Any) -> None:
    await stop_run(house.store, ADA, holder.run_id, Stop.CANCEL, SECRET, "r-1")


async def beginning_a_session(house: Any, holder: Any) -> None:
    await create_session(house.store, ADA, SessionId("mine"), "r-1")


async def starting(house: Any, holder: Any) -> None:
    await house.start()


@pytest.mark.parametrize("act", [pausing, stopping, beginning_a_session, starting])
async def test_what_cannot_be_written_down_does_not_happen(
    house: Any, holder: Any, act: Callable[[Any, Any], Awaitable[None]]
) -> None:
    before, kinds = await house.counts(), await house.kinds(holder.run_id)
    await refuse_audit(house)

    with pytest.raises(REFUSED):
        await act(house, holder)
    await take_audit_again(house)

    assert await house.counts() == before
    assert await house.kinds(holder.run_id) == kinds


async def test_an_event_says_who_did_what_from_where_and_when(house: Any, holder: Any, clock: Any) -> None:
    await pausing(house, holder)

    (event,) = await events(house, AuditType.RUN_PAUSED)

    assert event.pop("event_id")
    assert (event.pop("position"), event.pop("previous_hash"), event.pop("hash")) == (0, b"", b"")
    assert event == {
        "recorded_at": clock.now,
        "type": "run.paused",
        "principal": "ada",
        "authenticated": 1,
        "peer": "ipv4:10.0.0.7:4000",
        "method": "/perdure.v1.RunService/PauseRun",
        "resource": f"runs/{holder.run_id}",
        "outcome": "DONE",
        "reason": "",
        "request_id": "r-1",
        "details": {"has_reason": "true"},
    }


async def test_what_changes_nothing_leaves_no_event(house: Any, holder: Any) -> None:
    await pausing(house, holder)
    before = await events(house)

    await pausing(house, holder)
    await pause_run(house.store, ADA, holder.run_id, "again", "r-2")
    await create_session(house.store, ADA, SessionId("s"), "r-3")

    assert await events(house) == before


async def test_a_decision_and_a_signal_are_remembered_without_what_was_said(house: Any, gated: Any) -> None:
    approval = await asked(house, gated)
    token = (await get_approval(house.store, house.keys, ADA, approval.approval_id)).token
    await decide_approval(
        house.store,
        house.limits,
        house.keys,
        ADA,
        Deciding(approval.approval_id, Decision.APPROVED, token, SECRET, "r-1"),
    )
    run_id = await house.start(WAITS)
    await signal_run(house.store, house.limits, ADA, Signalling(run_id, "paid", f'{{"x":"{SECRET}"}}'.encode(), ""))

    (decision,) = await events(house, AuditType.HUMAN_DECISION)
    (signal,) = await events(house, AuditType.RUN_SIGNALLED)

    assert decision["resource"] == approval.name
    said = {"run": f"runs/{gated.run_id}", "decision": "APPROVED", "has_reason": "true", "has_content": "false"}
    assert decision["details"] == said
    digest = signal["details"].pop("content_digest")
    assert len(digest) == 64
    assert signal["details"] == {"signal": "paid", "has_content": "true"}
    assert SECRET not in repr(await events(house))
    assert token not in repr(await events(house))


async def test_what_the_server_does_by_itself_is_remembered_as_its_own(house: Any, gated: Any, clock: Any) -> None:
    approval = await asked(house, gated)
    timed = await house.start(timeout_micros=60_000_000)
    await house.sweep()
    for _ in range(70):
        clock.advance(1)
        await house.sweep()

    (expired,) = await events(house, AuditType.HUMAN_EXPIRED)
    (late,) = await events(house, AuditType.RUN_TIMED_OUT)

    assert (expired["resource"], late["resource"]) == (approval.name, f"runs/{timed}")
    for event in (expired, late):
        assert (event["principal"], event["method"], event["peer"]) == ("system", "sweep", "")


async def test_a_store_that_went_back_and_a_flow_that_was_deleted_are_remembered(
    house: Any, holder: Any, clock: Any
) -> None:
    begun = await open_store_life(house.store, 1)
    await open_store_life(house.store, await go_back(house, begun.mark.starts))
    await stop_run(house.store, ADA, holder.run_id, Stop.CANCEL, "", "")
    clock.advance(100)

    async def rest() -> None:
        pass

    await retain(house.store, 1_000_000, rest)

    (restored,) = await events(house, AuditType.STORE_RESTORED)
    (deleted,) = await events(house, AuditType.RETENTION_DELETED)
    assert restored["details"] == {"generation": "2"}
    assert deleted["details"] == {"count": "1"}
    assert deleted["resource"].startswith("flows/")


async def test_a_flood_of_denials_is_an_event_at_once_and_one_with_a_count(house: Any) -> None:
    denials = Denials(house.store)

    await denials.record(ADA, "TOKEN_MISMATCH", "approvals/a")
    at_once = await events(house, AuditType.AUTH_DENIED)
    for _ in range(1000):
        await denials.record(ADA, "TOKEN_MISMATCH", "approvals/a")
    await denials.store_due()
    meanwhile = await events(house, AuditType.AUTH_DENIED)
    await denials.store_due(all_of_them=True)
    await denials.store_due(all_of_them=True)
    in_the_end = await events(house, AuditType.AUTH_DENIED)

    assert [event["details"] for event in at_once] == [{"count": "1"}]
    assert meanwhile == at_once
    assert sorted(event["details"]["count"] for event in in_the_end) == ["1", "1000"]
    assert {(event["reason"], event["resource"]) for event in in_the_end} == {("TOKEN_MISMATCH", "approvals/a")}


async def test_who_is_denied_ever_new_resources_takes_the_place_of_nobody_else(house: Any) -> None:
    denials = Denials(house.store)

    for number in range(MAX_KINDS):
        await denials.record(ADA, "TOKEN_MISMATCH", f"approvals/{number}")
    await denials.record(BOB, "TOKEN_MISMATCH", "approvals/b")
    await denials.store_due(all_of_them=True)

    told = await events(house, AuditType.AUTH_DENIED)
    apart = {event["resource"] for event in told} - {""}
    # The first of those that are counted together was alone yet, and says which it was.
    assert apart == {f"approvals/{number}" for number in range(KINDS_OF_CALLER + 1)} | {"approvals/b"}
    together = [int(event["details"]["count"]) for event in told if not event["resource"]]
    assert together == [MAX_KINDS - KINDS_OF_CALLER - 1]
    assert {event["principal"] for event in told if event["resource"] == "approvals/b"} == {"bob"}


async def test_many_who_are_denied_ever_new_resources_hide_nobody(house: Any) -> None:
    denials = Denials(house.store)
    crowd = [Caller(Principal(f"p{number}"), authenticated=True) for number in range(100)]

    for number in range(KINDS_OF_CALLER):
        for who in crowd:
            await denials.record(who, "SCOPE_MISSING", f"keys/k{number}")
    await denials.record(BOB, "SCOPE_MISSING", "keys/root")
    await denials.store_due(all_of_them=True)

    told = await events(house, AuditType.AUTH_DENIED)
    assert ("bob", "SCOPE_MISSING") in {(event["principal"], event["reason"]) for event in told}
    assert "anonymous" not in {event["principal"] for event in told}
    assert sum(bool(event["resource"]) for event in told) <= KINDS_OF_RESOURCES + len(crowd) + 1


async def test_resources_of_callers_whom_nobody_knows_are_not_told_apart(house: Any) -> None:
    denials = Denials(house.store)

    for number in range(5):
        await denials.record(STRANGER, "UNAUTHENTICATED", f"approvals/{number}")
    await denials.store_due(all_of_them=True)

    told = {(event["resource"], event["details"]["count"]) for event in await events(house, AuditType.AUTH_DENIED)}
    assert told == {("approvals/0", "1"), ("", "4")}


async def test_denials_of_ever_new_callers_are_counted_together_at_some_point(house: Any) -> None:
    denials = Denials(house.store)

    for number in range(MAX_KINDS + 50):
        await denials.record(Caller(Principal(f"p{number}"), authenticated=True), "SCOPE_MISSING", "")
    await denials.store_due(all_of_them=True)

    told = await events(house, AuditType.AUTH_DENIED)
    counts = [int(event["details"]["count"]) for event in told]
    assert sum(counts) == MAX_KINDS + 50
    assert {event["reason"] for event in told if event["principal"] == "anonymous"} == {""}
    assert len(counts) <= MAX_KINDS + 2


async def test_a_denial_that_cannot_be_written_down_now_is_later(house: Any) -> None:
    denials = Denials(house.store)
    await refuse_audit(house)
    with pytest.raises(REFUSED):
        await denials.record(ADA, "SCOPE_MISSING", "")
    await take_audit_again(house)

    await denials.store_due(all_of_them=True)

    (event,) = await events(house, AuditType.AUTH_DENIED)
    assert event["details"] == {"count": "1"}
