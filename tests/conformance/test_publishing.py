"""The life of a playbook version: drafted, published with evidence, superseded, revoked for good."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from perdure_control_plane.domain import errors
from perdure_control_plane.domain.caller import OPEN_CALLER
from perdure_control_plane.domain.playbook import Evidence, Publication
from perdure_control_plane.usecases.create_playbook_version import create_playbook_version
from perdure_control_plane.usecases.publish_playbook_version import Publishing, publish_playbook_version
from perdure_control_plane.usecases.revoke_playbook_version import Revoking, revoke_playbook_version
from perdure_control_plane.usecases.start_flow import FlowStarter
from tests.conformance.conftest import asked_id

EVIDENCE = (Evidence("review", "R-1", "read by two"),)


async def test_creating_the_same_document_again_returns_the_version(house: Any, manifests: Any) -> None:
    first = await _create(house, manifests["line"])
    before = await house.counts()
    again = await _create(house, manifests["line"])

    assert again == first
    assert await house.counts() == before


async def test_the_same_document_as_json_is_the_same_version(house: Any, manifests: Any) -> None:
    backwards = dict(reversed(yaml.safe_load(manifests["line"]).items()))

    from_yaml = await _create(house, manifests["line"])
    from_json = await _create(house, json.dumps(backwards))

    assert from_json == from_yaml


async def test_another_document_under_a_version_is_refused(house: Any, manifests: Any) -> None:
    first = await _create(house, manifests["line"])
    before = await house.counts()

    with pytest.raises(errors.VersionExists) as refused:
        await _create(house, manifests["line"].replace("A line", "Another line"))

    assert refused.value.metadata["stored_digest"] == first.digest
    assert await house.counts() == before


async def test_a_draft_does_not_start(house: Any, manifests: Any) -> None:
    asked = await house.asked(manifests["gated"])
    draft = await _create(house, manifests["gated"].replace("1.0.0", "2.0.0"))
    of_draft = replace(asked, version="2.0.0", digest=draft.digest)
    before = await house.counts()

    with pytest.raises(errors.PublicationForbids) as refused:
        await FlowStarter(house.store, house.limits).start(OPEN_CALLER, of_draft)

    assert refused.value.metadata["publication"] == "DRAFT"
    assert await house.counts() == before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"digest": ""}, errors.DigestMismatch),
        ({"digest": "0" * 64}, errors.DigestMismatch),
        ({"evidence": ()}, errors.FieldInvalid),
        ({"publication": Publication.DRAFT}, errors.FieldInvalid),
        ({"publication": Publication.REVOKED}, errors.FieldInvalid),
        ({"evidence": (Evidence("run", "nothing"),)}, errors.EvidenceUnresolved),
        ({"evidence": (Evidence("flow", "nothing"),)}, errors.EvidenceUnresolved),
        ({"evidence": (Evidence("task", "nothing"),)}, errors.EvidenceUnresolved),
        ({"evidence": (Evidence("approval", "nothing"),)}, errors.EvidenceUnresolved),
    ],
)
async def test_publishing_needs_the_digest_and_evidence_that_exists(
    house: Any, manifests: Any, change: dict[str, Any], error: type[errors.PerdureError]
) -> None:
    draft = await _create(house, manifests["line"])
    before = await house.counts()

    with pytest.raises(error):
        await _publish(house, draft, **change)

    assert await house.counts() == before


async def test_evidence_that_is_kept_here_is_found(house: Any, manifests: Any, gated: Any) -> None:
    await gated.send(*gated.asks("gate"))
    run = await house.run(gated.run_id)
    evidence = (
        Evidence("run", run.name),
        Evidence("flow", f"flows/{run.identity.flow_id}"),
        Evidence("approval", f"approvals/{asked_id(gated.run_id)}"),
    )

    published = await _publish(house, await _create(house, manifests["line"]), evidence=evidence)

    assert published.publication is Publication.ACTIVE


async def test_a_new_active_version_makes_the_former_one_verified(house: Any, manifests: Any) -> None:
    first = await _publish(house, await _create(house, manifests["line"]))
    second = await _publish(house, await _create(house, manifests["line"].replace("1.0.0", "2.0.0")))

    def body(tx: Any) -> Any:
        return tx.playbooks.get(first.playbook_id).active, tx.playbooks.get_version(first.playbook_id, "1.0.0")

    active, former = await house.store.read(body)
    assert active.version == second.version
    assert former.publication is Publication.VERIFIED
    assert [change.current for change in former.history] == [Publication.ACTIVE, Publication.VERIFIED]
    assert former.history[0].evidence == EVIDENCE


async def test_publishing_under_one_request_id_happens_once(house: Any, manifests: Any) -> None:
    draft = await _create(house, manifests["line"])
    first = await _publish(house, draft, request_id="r1")
    again = await _publish(house, draft, request_id="r1")

    assert again == first
    with pytest.raises(errors.RequestIdReused):
        await _publish(house, draft, request_id="r1", publication=Publication.CANARY)


async def test_a_revoked_version_stays_revoked_and_does_not_start(house: Any, manifests: Any) -> None:
    asked = await house.asked(manifests["line"])
    revoking = Revoking(asked.playbook_id, asked.version, asked.digest, "it deletes too much", (), "")
    revoked = await revoke_playbook_version(house.store, OPEN_CALLER, revoking)
    before = await house.counts()

    with pytest.raises(errors.PublicationForbids):
        await FlowStarter(house.store, house.limits).start(OPEN_CALLER, asked)
    with pytest.raises(errors.PublicationForbids):
        await _publish(house, revoked)
    with pytest.raises(errors.FieldInvalid):
        await revoke_playbook_version(house.store, OPEN_CALLER, replace(revoking, reason=""))

    assert revoked.publication is Publication.REVOKED
    assert await house.counts() == before


async def test_revoking_keeps_the_evidence_of_before_and_leaves_no_version_active(house: Any, manifests: Any) -> None:
    active = await _publish(house, await _create(house, manifests["line"]))
    against = (Evidence("incident", "I-7", "it deleted too much"),)

    await _revoke(house, active, evidence=against)

    playbook = await house.store.read(lambda tx: tx.playbooks.get(active.playbook_id))
    (version,) = playbook.versions
    assert playbook.active is None
    assert [(change.previous, change.current, change.evidence) for change in version.history] == [
        (Publication.DRAFT, Publication.ACTIVE, EVIDENCE),
        (Publication.ACTIVE, Publication.REVOKED, against),
    ]
    assert version.history[-1].reason == "it deletes too much"


async def test_publishing_again_adds_its_evidence_to_that_of_before(house: Any, manifests: Any) -> None:
    more = (Evidence("review", "R-2", "read by a third"),)
    draft = await _create(house, manifests["line"])

    for publication, evidence in ((Publication.VERIFIED, EVIDENCE), (Publication.CANARY, more)):
        await _publish(house, draft, publication=publication, evidence=evidence)

    version = await house.store.read(lambda tx: tx.playbooks.get_version(draft.playbook_id, draft.version))
    assert version.publication is Publication.CANARY
    assert [change.evidence for change in version.history] == [EVIDENCE, more]


@pytest.mark.parametrize("publication", [Publication.VERIFIED, Publication.CANARY, Publication.ACTIVE])
async def test_every_publication_but_a_draft_and_a_revoked_one_starts(
    house: Any, manifests: Any, publication: Publication
) -> None:
    asked = await house.asked(manifests["line"])
    text = manifests["line"].replace("1.0.0", "2.0.0")
    published = await _publish(house, await _create(house, text), publication=publication)

    view = await FlowStarter(house.store, house.limits).start(
        OPEN_CALLER, replace(asked, version="2.0.0", digest=published.digest)
    )

    assert view.flow.version == "2.0.0"


async def test_a_flow_of_a_version_that_is_revoked_goes_on(house: Any, manifests: Any, holder: Any) -> None:
    run = await house.run(holder.run_id)
    identity = run.identity
    version = await house.store.read(
        lambda tx: tx.playbooks.get_version(identity.playbook_id, identity.playbook_version)
    )

    await _revoke(house, version)
    await holder.node("a")

    assert (await house.kinds(holder.run_id))[-1] == "node_settled"


async def test_of_two_versions_that_are_made_active_at_once_one_is(house: Any, manifests: Any) -> None:
    texts = [manifests["line"].replace("1.0.0", f"{number}.0.0") for number in range(1, 6)]
    drafts = [await _create(house, text) for text in texts]

    await asyncio.gather(*(_publish(house, draft) for draft in drafts))

    playbook = await house.store.read(lambda tx: tx.playbooks.get(drafts[0].playbook_id))
    found = [version.publication for version in playbook.versions]
    assert sorted(found) == [Publication.ACTIVE, *[Publication.VERIFIED] * 4]


async def _revoke(house: Any, version: Any, evidence: tuple[Evidence, ...] = ()) -> Any:
    asked = Revoking(version.playbook_id, version.version, version.digest, "it deletes too much", evidence, "")
    return await revoke_playbook_version(house.store, OPEN_CALLER, asked)


async def _create(house: Any, manifest: str) -> Any:
    return await create_playbook_version(house.store, OPEN_CALLER, manifest.encode(), "")


async def _publish(house: Any, version: Any, **change: Any) -> Any:
    given = {
        "digest": version.digest,
        "publication": Publication.ACTIVE,
        "evidence": EVIDENCE,
        "request_id": "",
        **change,
    }
    return await publish_playbook_version(
        house.store, OPEN_CALLER, Publishing(version.playbook_id, version.version, **given)
    )
