"""What an environment demands of a playbook version is looked at when a flow is to start, and nowhere else."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import PolicyForbids, RequestIdReused
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.playbook import Evidence, Publication
from perdure_control_plane.domain.policy import Policy
from perdure_control_plane.storage.tables import audit_events
from perdure_control_plane.usecases.create_playbook_version import create_playbook_version
from perdure_control_plane.usecases.publish_playbook_version import Publishing, publish_playbook_version
from perdure_control_plane.usecases.start_flow import FlowStarter
from perdure_control_plane.usecases.update_policy import PolicyUpdate, update_policy

ADA = Caller(Principal("ada"), authenticated=True)
SOUND = """
playbook_id: sound
version: 1.0.0
title: Sound
objective: Do it
acceptance_criteria: [It was done]
nodes:
  - {id: a, type: function, function: noop, effect: none}
"""
DOUBTFUL = SOUND.replace("acceptance_criteria: [It was done]\n", "")
ACTS = SOUND.replace("effect: none", "effect: at_most_once")
ASKS_AND_ACTS = ACTS.replace("nodes:\n", "nodes:\n  - {id: gate, type: approval, prompt: go on?}\n")


async def demand(house: Any, reason: str = "", request_id: str = "", **fields: Any) -> Policy:
    told = {"block_warnings": None, "blocked_warnings": None, "require_review": None, "require_approval": None}
    asked = PolicyUpdate(**{**told, **fields}, reason=reason, request_id=request_id)
    return await update_policy(house.store, ADA, asked)


async def refused(house: Any, manifest: str) -> str:
    """The demands that a start of a playbook does not meet; empty where it starts."""
    try:
        await house.start(manifest)
    except PolicyForbids as error:
        return error.metadata["rules"]
    return ""


async def test_where_nobody_has_set_one_everything_starts(house: Any) -> None:
    assert await house.store.read(lambda tx: tx.policies.get()) == Policy()
    for manifest in (SOUND, DOUBTFUL.replace("sound", "doubtful"), ACTS.replace("sound", "acts")):
        assert await refused(house, manifest) == ""


@pytest.mark.parametrize(
    ("fields", "manifest", "rules"),
    [
        ({"block_warnings": True}, SOUND, ""),
        ({"block_warnings": True}, DOUBTFUL, "block_warnings"),
        ({"blocked_warnings": ("NO_ACCEPTANCE_CRITERIA",)}, DOUBTFUL, "blocked_warnings"),
        ({"blocked_warnings": ("EFFECT_UNSTATED",)}, DOUBTFUL, ""),
        ({"require_review": True}, SOUND, ""),
        ({"require_approval": True}, SOUND, ""),
        ({"require_approval": True}, ACTS, "require_approval"),
        ({"require_approval": True}, ASKS_AND_ACTS, ""),
        ({"block_warnings": True, "require_approval": True},
         ACTS.replace("acceptance_criteria: [It was done]\n", ""), "block_warnings,require_approval"),
    ],
)  # fmt: skip
async def test_a_version_that_does_not_meet_a_demand_does_not_start(
    house: Any, fields: dict[str, Any], manifest: str, rules: str
) -> None:
    await demand(house, **fields)

    assert await refused(house, manifest) == rules


async def test_a_review_is_one_that_any_publication_of_the_version_names(house: Any) -> None:
    await demand(house, require_review=True)
    version = await create_playbook_version(house.store, OPEN_CALLER, SOUND.encode(), "")

    async def publish(as_what: Publication, kind: str) -> None:
        asked = Publishing(version.playbook_id, version.version, version.digest, as_what, (Evidence(kind, "x"),), "")
        await publish_playbook_version(house.store, OPEN_CALLER, asked)

    # Another playbook's request, for the one that is published by hand here.
    other = await house.asked(SOUND.replace("sound", "other"))
    asked_for = replace(other, playbook_id=version.playbook_id, digest=version.digest)

    async def missed() -> str:
        try:
            await FlowStarter(house.store, house.limits).start(OPEN_CALLER, asked_for)
        except PolicyForbids as error:
            return error.metadata["rules"]
        return ""

    await publish(Publication.VERIFIED, "trial")
    after_a_trial = await missed()
    await publish(Publication.CANARY, "review")
    after_a_review = await missed()
    await publish(Publication.ACTIVE, "trial")

    release = await house.store.read(lambda tx: tx.playbooks.release(version.playbook_id, version.version))
    assert (after_a_trial, after_a_review, release.is_reviewed) == ("require_review", "", True)


async def test_a_change_holds_from_the_next_start_on_and_what_has_started_is_started(house: Any) -> None:
    asked = await house.asked(DOUBTFUL)
    starter = FlowStarter(house.store, house.limits)
    begun = await starter.start(OPEN_CALLER, asked)
    await demand(house, block_warnings=True)

    again = await starter.start(OPEN_CALLER, asked)
    with pytest.raises(PolicyForbids, match="NO_ACCEPTANCE_CRITERIA"):
        await house.start(DOUBTFUL)
    await demand(house, block_warnings=False)

    assert again.flow == begun.flow
    assert await refused(house, DOUBTFUL) == ""


async def test_what_is_not_named_stays_and_who_set_it_is_known(house: Any, clock: Any) -> None:
    await demand(house, block_warnings=True, blocked_warnings=("EFFECT_UNSTATED",))
    clock.advance(5)

    after = await demand(house, "hush-7f3a", require_review=True)
    as_it_is = await demand(house, "again", require_review=True)

    assert after == as_it_is == await house.store.read(lambda tx: tx.policies.get())
    assert after == Policy(True, ("EFFECT_UNSTATED",), True, False, clock.now, "ada", "hush-7f3a")


async def test_each_change_is_an_audit_event_and_a_repetition_none(house: Any) -> None:
    await demand(house, "hush-7f3a", "r-1", require_review=True, blocked_warnings=("NO_PHASES",))
    await demand(house, "hush-7f3a", "r-1", require_review=True, blocked_warnings=("NO_PHASES",))
    with pytest.raises(RequestIdReused):
        await demand(house, "", "r-1", require_review=False)

    (event,) = await house.execute(select(audit_events).where(audit_events.c.type == "policy.changed"))

    assert (event.principal, event.resource, event.request_id) == ("ada", "policy", "r-1")
    assert event.details == '{"has_reason": "true", "policy": "require_review,NO_PHASES"}'
