"""Who started, wrote, voted and decided, changed in the tables behind the audit trail's back."""

from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import Executable, delete, insert, update

from perdure.audit.events import AuditType
from perdure.audit.signing import HeadKey
from perdure_control_plane.domain.api_key import ApiKey, KeyTexts
from perdure_control_plane.domain.approval import Decision
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.storage.tables import (
    api_keys,
    approval_votes,
    approvals,
    audit_events,
    audit_heads,
    flows,
    playbook_versions,
    policies,
    schedules,
)
from perdure_control_plane.usecases.create_key import NewKey, create_key
from perdure_control_plane.usecases.create_playbook_version import create_playbook_version
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.prune_audit import prune_audit
from perdure_control_plane.usecases.revoke_key import revoke_key
from perdure_control_plane.usecases.rotate_key import Rotating, rotate_key
from perdure_control_plane.usecases.seal_audit import seal_audit
from perdure_control_plane.usecases.update_policy import PolicyUpdate, update_policy
from tests.conformance.conftest import House, asked_id
from tests.conformance.test_schedules import make as make_schedule

KEY = HeadKey(b"k" * 32)
ADA, BOB = (Caller(Principal(f"keys/{name}"), authenticated=True, role=Role.REVIEWER) for name in ("ada", "bob"))


@pytest.fixture
def house(store: Any) -> House:
    """Not looked at in the end: what was bent stays so."""
    return House(store)


async def bent(house: House, statement: Executable) -> list[str]:
    """What is found once somebody has done this to the tables."""
    assert (await house.compared()).found == []
    await house.execute(statement)
    return [one.message for one in (await house.compared()).found]


async def say(house: House, approval_id: str, who: Caller) -> None:
    approval = await house.store.read(lambda tx: tx.approvals.get(approval_id))
    asked = Deciding(approval_id, Decision.APPROVED, house.keys.token(approval), "", "")
    await decide_approval(house.store, house.limits, house.keys, who, asked)


@pytest.fixture
async def voted(house: House, gated: Any) -> str:
    """Two are to say the same, and one has; the approval's id."""
    await gated.send(*gated.asks("gate", quorum=2))
    await gated.send(gated.paused())
    await say(house, asked_id(gated.run_id), ADA)
    return asked_id(gated.run_id)


@pytest.fixture
async def made(house: House) -> ApiKey:
    """A key of the role VIEWER."""
    key, _ = await create_key(house.store, KeyTexts(b"k"), OPEN_CALLER, NewKey("lost", Role.VIEWER, 0, ""))
    return key


@pytest.fixture
async def scheduled(house: House) -> None:
    """Something is started each hour."""
    await make_schedule(house)


NEVER_MADE = [
    "keys/lost: it expires never, and no audit event says so",
    "keys/lost: anonymous made it with the role VIEWER, and no audit event says so",
]
"""What is said of a key that no event tells of."""


async def test_a_vote_that_nobody_cast_is_found(house: House, gated: Any, voted: str) -> None:
    forged = insert(approval_votes).values(
        approval_id=voted,
        voter="keys/bob",
        run_id=gated.run_id,
        decision="APPROVED",
        selected_option="",
        reason="",
        voted_at=0,
    )

    found = await bent(house, forged)

    assert found == [f"approvals/{voted}: keys/bob voted APPROVED, and no audit event says so"]
    assert [one.run_id for one in (await house.compared()).found] == [gated.run_id]


async def test_a_vote_that_was_cast_for_something_else_is_found(house: House, voted: str) -> None:
    found = await bent(house, update(approval_votes).values(decision="SELECTED", selected_option="all"))

    assert found == [f"approvals/{voted}: keys/ada voted SELECTED, and no audit event says so"]


async def test_a_decision_of_somebody_else_is_found(house: House, voted: str) -> None:
    await say(house, voted, BOB)

    found = await bent(house, update(approvals).values(decider="keys/eve"))

    assert found == [f"approvals/{voted}: keys/eve decided APPROVED, and no audit event says so"]


async def test_a_flow_that_somebody_else_started_is_found(house: House, holder: Any) -> None:
    found = await bent(house, update(flows).values(principal="keys/eve"))

    assert found == [f"runs/{holder.run_id}: keys/eve started it, and no audit event says so"]


async def test_a_flow_that_nobody_started_is_found(house: House, holder: Any) -> None:
    found = await bent(house, update(flows).values(principal=""))

    assert found == [f"runs/{holder.run_id}:  started it, and no audit event says so"]


async def test_a_vote_for_nothing_in_particular_is_found(house: House, voted: str) -> None:
    await say(house, voted, BOB)

    found = await bent(house, update(approvals).values(selected_option="one"))

    assert found == [f"approvals/{voted}: keys/bob decided APPROVED, and no audit event says so"]


async def test_a_playbook_that_somebody_else_wrote_is_found(house: House, holder: Any) -> None:
    digest = (await house.execute(playbook_versions.select().with_only_columns(playbook_versions.c.digest)))[0][0]

    found = await bent(house, update(playbook_versions).values(author="keys/eve"))

    named = "playbooks/line/versions/1.0.0"
    assert found == [f"{named}: keys/eve wrote it with the digest {digest}, and no audit event says so"]


async def test_a_version_that_is_taken_back_into_use_is_found(house: House) -> None:
    await house.start()
    await house.revoke("line")

    found = await bent(house, update(playbook_versions).values(publication="ACTIVE"))

    assert found == ["playbooks/line/versions/1.0.0: it is not revoked, and an audit event says that it was"]


async def test_a_version_that_nobody_published_is_found(house: House) -> None:
    await house.start()

    found = await bent(house, delete(audit_events).where(audit_events.c.type == AuditType.PLAYBOOK_PUBLISHED.value))

    assert found == ["playbooks/line/versions/1.0.0: it is published, and no audit event says so"]


async def test_a_key_that_may_more_than_it_was_made_for_is_found(house: House, made: ApiKey) -> None:
    found = await bent(house, update(api_keys).values(role="ADMIN"))

    assert found == ["keys/lost: anonymous made it with the role ADMIN, and no audit event says so"]


async def test_a_key_that_is_good_for_longer_is_found(house: House) -> None:
    await create_key(house.store, KeyTexts(b"k"), OPEN_CALLER, NewKey("short", Role.VIEWER, SECOND, ""))

    found = await bent(house, update(api_keys).values(expires_at=0))

    assert found == ["keys/short: it expires never, and no audit event says so"]


async def test_a_key_may_expire_when_it_was_last_said_to(house: House, made: ApiKey) -> None:
    await rotate_key(house.store, KeyTexts(b"k"), OPEN_CALLER, Rotating("lost", SECOND, 5 * SECOND, ""))

    assert (await house.compared()).found == []


async def test_a_vote_that_was_deleted_is_found(house: House, gated: Any, voted: str) -> None:
    found = await bent(house, delete(approval_votes))

    assert found == [f"approvals/{voted}: an audit event says that keys/ada voted, and the vote is not there"]


async def test_demands_that_nobody_made_or_ended_are_found(house: House, clock: Any) -> None:
    await update_policy(house.store, OPEN_CALLER, PolicyUpdate(None, None, None, True, "", ""))
    clock.advance(2)
    await update_policy(house.store, OPEN_CALLER, PolicyUpdate(None, None, True, None, "", ""))

    found = await bent(house, update(policies).values(require_review=0))
    await house.execute(delete(policies))

    last = "and the last audit event says anonymous require_review,require_approval"
    assert found == [f"policy: anonymous demands require_approval, {last}"]
    assert [one.message for one in (await house.compared()).found] == [f"policy: nobody demands none, {last}"]


async def test_a_key_that_is_good_again_is_found(house: House, made: ApiKey) -> None:
    await revoke_key(house.store, OPEN_CALLER, made.key_name, "")

    found = await bent(house, update(api_keys).values(revoked_at=0))

    assert found == ["keys/lost: it is not revoked, and an audit event says that it was"]


async def test_a_run_that_nobody_let_go_on_by_itself_is_found(house: House, voted: str) -> None:
    await say(house, voted, BOB)

    found = await bent(house, update(approvals).values(automatic=1))

    assert found == [f"approvals/{voted}: it went on by itself, and no audit event says so"]


async def test_a_schedule_of_somebody_else_is_found(house: House, scheduled: None) -> None:
    found = await bent(house, update(schedules).values(principal="keys/eve"))

    assert found == ["schedules/nightly: keys/eve made it, and no audit event says so"]


async def test_what_a_version_is_is_compared_and_not_only_what_it_is_called(house: House, holder: Any) -> None:
    found = await bent(house, update(playbook_versions).values(plan_digest=b"\0" * 32))

    assert len(found) == 1
    assert found[0].startswith("playbooks/line/versions/1.0.0: anonymous wrote it with the digest ")


async def test_a_draft_that_is_taken_into_use_is_found(house: House, manifests: dict[str, str]) -> None:
    await create_playbook_version(house.store, OPEN_CALLER, manifests["line"].encode(), "")

    found = await bent(house, update(playbook_versions).values(publication="ACTIVE"))

    assert found == ["playbooks/line/versions/1.0.0: it is published, and no audit event says so"]


async def test_an_event_outside_the_chain_says_nothing(house: House, made: ApiKey) -> None:
    await seal_audit(house.store, KEY)

    found = await bent(house, update(audit_events).values(position=1000))

    assert found == NEVER_MADE


async def test_details_that_were_damaged_say_nothing(house: House, made: ApiKey) -> None:
    assert await bent(house, update(audit_events).values(details="{")) == NEVER_MADE
    await house.execute(update(audit_events).values(details="[]"))

    assert [one.message for one in (await house.compared()).found] == NEVER_MADE


@pytest.fixture
async def pruned(house: House, clock: Any) -> None:
    """Audit events that are older than a minute and a half were deleted."""
    await prune(house, clock)


async def prune(house: House, clock: Any) -> None:
    async def rest() -> None:
        """Nothing else has to be done meanwhile."""

    await seal_audit(house.store, KEY)
    clock.advance(100)
    await house.start()
    await seal_audit(house.store, KEY)
    assert await prune_audit(house.store, 90 * SECOND, rest) > 0
    await seal_audit(house.store, KEY)


async def test_what_is_older_than_the_audit_events_that_are_kept_is_counted_and_not_found(
    house: House, voted: str, pruned: None
) -> None:
    before = await house.compared()
    found = await bent(house, update(flows).values(principal="keys/eve"))

    assert before.too_old > 0
    assert len(found) == 1
    assert "keys/eve started it" in found[0]


async def test_a_row_that_says_that_it_is_older_than_it_is_is_found(house: House, made: ApiKey, clock: Any) -> None:
    older = update(api_keys).values(role="ADMIN", created_at=0)
    at_first = await bent(house, older)
    await house.execute(update(api_keys).values(role="VIEWER"))
    clock.advance(1)
    await prune(house, clock)
    await create_key(house.store, KeyTexts(b"k"), OPEN_CALLER, NewKey("new", Role.VIEWER, 0, ""))

    then = await bent(house, older)

    assert at_first == ["keys/lost: anonymous made it with the role ADMIN, and no audit event says so"]
    assert then == ["keys/new: anonymous made it with the role ADMIN, and no audit event says so"]


async def test_events_that_were_deleted_by_hand_are_no_reason_to_believe_a_row(house: House, made: ApiKey) -> None:
    await seal_audit(house.store, KEY)
    await house.start()
    await seal_audit(house.store, KEY)

    found = await bent(house, delete(audit_events).where(audit_events.c.position == 1))

    assert found == NEVER_MADE


async def test_a_head_that_somebody_else_signs_is_no_reason_to_believe_a_row(house: House, made: ApiKey) -> None:
    signed = HeadKey(b"m" * 32).sign(0, bytes(32), 1 << 60)
    await house.execute(insert(audit_heads).values(**asdict(signed)))

    assert len(await bent(house, update(api_keys).values(role="ADMIN"))) == 1


async def test_a_version_that_another_took_the_place_of_is_as_old_as_it_was(
    house: House, manifests: dict[str, str], holder: Any, pruned: None
) -> None:
    await house.published(manifests["line"].replace("1.0.0", "1.1.0"))

    assert (await house.compared()).found == []


async def test_what_others_do_later_says_nothing_of_what_is_too_old(house: House, voted: str, pruned: None) -> None:
    await say(house, voted, BOB)

    assert (await house.compared()).found == []


async def test_a_name_that_is_given_again_says_nothing_of_the_key_before(
    house: House, made: ApiKey, clock: Any
) -> None:
    await revoke_key(house.store, OPEN_CALLER, made.key_name, "")
    await prune(house, clock)
    await create_key(house.store, KeyTexts(b"k"), OPEN_CALLER, NewKey(made.key_name, Role.ADMIN, 0, ""))

    assert (await house.compared()).found == []


async def test_what_an_event_denies_is_found_however_old_it_is(house: House, made: ApiKey, pruned: None) -> None:
    await revoke_key(house.store, OPEN_CALLER, made.key_name, "")

    found = await bent(house, update(api_keys).values(revoked_at=0))

    assert found == ["keys/lost: it is not revoked, and an audit event says that it was"]
