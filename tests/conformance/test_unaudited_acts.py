"""Who started, wrote, voted and decided, changed in the tables behind the audit trail's back."""

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
    flows,
    playbook_versions,
)
from perdure_control_plane.usecases.create_key import NewKey, create_key
from perdure_control_plane.usecases.decide_approval import Deciding, decide_approval
from perdure_control_plane.usecases.prune_audit import prune_audit
from perdure_control_plane.usecases.revoke_key import revoke_key
from perdure_control_plane.usecases.seal_audit import seal_audit
from tests.conformance.conftest import House, asked_id

KEY = HeadKey(b"k" * 32)
ADA, BOB = (Caller(Principal(f"keys/{name}"), authenticated=True, role=Role.REVIEWER) for name in ("ada", "bob"))


@pytest.fixture
def house(store: Any) -> House:
    """Not looked at in the end: what was bent stays so."""
    return House(store)


async def bent(house: House, statement: Executable) -> list[str]:
    """What is found once somebody has done this to the tables."""
    assert await house.unaudited() == []
    await house.execute(statement)
    return [found.message for found in await house.unaudited()]


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
    assert [one.run_id for one in await house.unaudited()] == [gated.run_id]


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


async def test_a_key_that_is_good_again_is_found(house: House, made: ApiKey) -> None:
    await revoke_key(house.store, OPEN_CALLER, made.key_name, "")

    found = await bent(house, update(api_keys).values(revoked_at=0))

    assert found == ["keys/lost: it is not revoked, and an audit event says that it was"]


@pytest.fixture
async def pruned(house: House, clock: Any) -> None:
    """Audit events that are older than a minute and a half were deleted."""

    async def rest() -> None:
        """Nothing else has to be done meanwhile."""

    await seal_audit(house.store, KEY)
    clock.advance(100)
    await house.start()
    await seal_audit(house.store, KEY)
    assert await prune_audit(house.store, 90 * SECOND, rest) > 0


async def test_what_is_older_than_the_audit_events_that_are_kept_is_not_looked_at(
    house: House, voted: str, pruned: None
) -> None:
    found = await bent(house, update(flows).values(principal="keys/eve"))

    assert len(found) == 1
    assert "keys/eve started it" in found[0]


async def test_what_an_event_denies_is_found_however_old_it_is(house: House, made: ApiKey, pruned: None) -> None:
    await revoke_key(house.store, OPEN_CALLER, made.key_name, "")

    found = await bent(house, update(api_keys).values(revoked_at=0))

    assert found == ["keys/lost: it is not revoked, and an audit event says that it was"]
