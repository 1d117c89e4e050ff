"""Says what is wrong with a manifest, and what its digest would be. Stores nothing."""

import asyncio

from perdure_control_plane.manifests.review import Review, review


async def validate_playbook(text: bytes) -> Review:
    """Reviews a manifest; a faulty one is an answer, not an error. A large one takes seconds, so it has a thread."""
    return await asyncio.to_thread(review, text)
