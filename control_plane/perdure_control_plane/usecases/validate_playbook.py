"""Says what is wrong with a manifest, and what its digest would be. Stores nothing."""

from perdure_control_plane.manifests.review import Review, review


def validate_playbook(text: bytes) -> Review:
    """Reviews a manifest; a faulty one is an answer, not an error."""
    return review(text)
