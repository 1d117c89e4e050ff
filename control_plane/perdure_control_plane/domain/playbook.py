"""A playbook version: immutable manifest, mutable publication."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from perdure_control_plane.domain.errors import PublicationForbids
from perdure_control_plane.domain.ids import PlaybookId, Principal


class Publication(StrEnum):
    """Whether flows may start from a version."""

    DRAFT = "DRAFT"
    VERIFIED = "VERIFIED"
    CANARY = "CANARY"
    ACTIVE = "ACTIVE"
    REVOKED = "REVOKED"


STARTABLE: Final = frozenset({Publication.VERIFIED, Publication.CANARY, Publication.ACTIVE})

REVIEW: Final = "review"
"""Kind of evidence that a person has looked at a version."""

RESOLVED_EVIDENCE: Final = frozenset({"flow", "run", "task", "approval"})
"""Kinds of evidence that must name something in the store."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A reference to something that supports a claim."""

    kind: str
    id: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class PublicationChange:
    """One change of publication."""

    previous: Publication
    current: Publication
    evidence: tuple[Evidence, ...]
    reason: str
    actor: Principal
    changed_at: int


@dataclass(frozen=True, slots=True)
class PlaybookVersion:
    """One version of a playbook. `document` is empty where it was not asked for."""

    playbook_id: PlaybookId
    version: str
    digest: str
    plan_digest: bytes
    title: str
    objective: str
    publication: Publication
    author: Principal
    """Who stored it."""
    created_at: int
    updated_at: int
    warnings: tuple[str, ...] = ()
    """Codes of the doubts that there were about its document, each once."""
    is_reviewed: bool = False
    """Whether a publication of it has named evidence of the kind `review`."""
    history: tuple[PublicationChange, ...] = ()
    document: bytes = b""

    @property
    def name(self) -> str:
        """The version's resource name."""
        return version_name(self.playbook_id, self.version)


@dataclass(frozen=True, slots=True)
class Playbook:
    """A playbook and its versions, newest first."""

    playbook_id: PlaybookId
    created_at: int
    versions: tuple[PlaybookVersion, ...]

    @property
    def active(self) -> PlaybookVersion | None:
        """The one active version."""
        return next((version for version in self.versions if version.publication is Publication.ACTIVE), None)


@dataclass(frozen=True, slots=True)
class Release:
    """What starting needs of a version; all but its publication never changes."""

    playbook_id: PlaybookId
    version: str
    digest: str
    plan_digest: bytes
    publication: Publication
    warnings: tuple[str, ...] = ()
    is_reviewed: bool = False

    @property
    def name(self) -> str:
        """The version's resource name."""
        return version_name(self.playbook_id, self.version)


def version_name(playbook_id: str, version: str) -> str:
    """The resource name of a playbook version."""
    return f"playbooks/{playbook_id}/versions/{version}"


def check_publishable(version: PlaybookVersion) -> None:
    """Raises PublicationForbids for a revoked version: revocation is for good."""
    if version.publication is Publication.REVOKED:
        raise PublicationForbids(version.name, version.publication, "it was revoked for good; create a new version")


def check_startable(version: Release) -> None:
    """Raises PublicationForbids where flows may not start from the version."""
    if version.publication not in STARTABLE:
        way_out = "publish it first" if version.publication is Publication.DRAFT else "start another version"
        raise PublicationForbids(version.name, version.publication, way_out)
