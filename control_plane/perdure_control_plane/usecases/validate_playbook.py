"""Says what is wrong with a manifest, and what its digest would be. Stores nothing."""

import asyncio
import json
from collections.abc import Iterable

from perdure.v1 import plans_pb2
from perdure_control_plane.domain.ids import PlaybookId
from perdure_control_plane.domain.playbook import Publication
from perdure_control_plane.manifests.children import ChildPlaybook, Reference
from perdure_control_plane.manifests.review import Review, review
from perdure_control_plane.usecases.ports import Store, Transaction


async def validate_playbook(store: Store, text: bytes) -> Review:
    """Reviews a manifest; a faulty one is an answer, not an error. A large one takes seconds, so it has a thread."""
    reviewed = await asyncio.to_thread(review, text)
    if not reviewed.references:
        return reviewed
    children = await store.read(lambda tx: _children(tx, reviewed.references))
    return await asyncio.to_thread(review, text, children)


def _children(tx: Transaction, references: Iterable[Reference]) -> dict[Reference, ChildPlaybook]:
    found = {}
    for playbook_id, name in references:
        version = tx.playbooks.find_version(PlaybookId(playbook_id), name)
        if version is not None:
            plan = plans_pb2.Plan.FromString(tx.playbooks.plan(version.plan_digest))
            schema = json.loads(plan.input_schema) if plan.input_schema else {}
            revoked = version.publication is Publication.REVOKED
            found[playbook_id, name] = ChildPlaybook(version.digest, version.plan_digest, plan, schema, revoked)
    return found
