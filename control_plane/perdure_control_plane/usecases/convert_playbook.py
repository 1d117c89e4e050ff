"""Makes a manifest of a playbook that was written for another system. Stores nothing."""

import asyncio

from perdure_control_plane.manifests.conversion.conversion import Conversion, SourceFormat, convert


async def convert_playbook(text: bytes, source: SourceFormat | None) -> Conversion:
    """Converts a document; one of which nothing can be made is an answer, not an error. It has a thread, as a check has."""
    return await asyncio.to_thread(convert, text, source)
