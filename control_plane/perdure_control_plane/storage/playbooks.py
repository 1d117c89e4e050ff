"""Playbook versions, their publication and its history, and compiled plans."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, insert, select, update
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.errors import DataCorrupt, NotFound
from perdure_control_plane.domain.ids import PlaybookId, Principal
from perdure_control_plane.domain.playbook import (
    REVIEW,
    Evidence,
    Playbook,
    PlaybookVersion,
    Publication,
    PublicationChange,
    Release,
    version_name,
)
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import (
    plans,
    playbook_versions,
    publication_changes,
)

_SUMMARY = [
    column
    for column in playbook_versions.c
    if column not in (playbook_versions.c.document, playbook_versions.c.position)
]

RELEASE_COLUMNS: Final = [playbook_versions.c[field.name] for field in fields(Release)]
"""Columns that starting needs, in the order of a release's fields."""


class PlaybookStatements:
    """Statements over `playbook_versions`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        version = playbook_versions.c.version == bindparam("version")
        wanted = (playbook_versions.c.playbook_id == bindparam("playbook_id")) & version
        self.release: Final = Prepared(select(*RELEASE_COLUMNS).where(wanted), dialect)


class Playbooks:
    """Keeps playbooks and plans."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: PlaybookStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def add(self, version: PlaybookVersion, plan: bytes, parts: Iterable[bytes] = ()) -> None:
        """Stores a version, its plan, and the plans of its parts."""
        held = select(func.count()).where(playbook_versions.c.playbook_id == version.playbook_id)
        position = self._connection.execute(held).scalar_one() + 1
        values = {name: getattr(version, name) for name in _names(_SUMMARY)}
        values |= {"publication": version.publication.value, "document": version.document, "position": position}
        values |= {"warnings": json.dumps(version.warnings), "is_reviewed": int(version.is_reviewed)}
        self._connection.execute(insert(playbook_versions).values(values))
        for stored in (plan, *parts):
            self._add_plan(hashlib.sha256(stored).digest(), stored)

    def _add_plan(self, digest: bytes, plan: bytes) -> None:
        if self._connection.execute(select(plans.c.digest).where(plans.c.digest == digest)).first() is None:
            self._connection.execute(insert(plans).values(digest=digest, plan=plan))

    def find_version(self, playbook_id: PlaybookId, version: str) -> PlaybookVersion | None:
        """One version with its document and history, or None."""
        wanted = (playbook_versions.c.playbook_id == playbook_id) & (playbook_versions.c.version == version)
        row = self._connection.execute(select(*_SUMMARY, playbook_versions.c.document).where(wanted)).first()
        if row is None:
            return None
        history = self._history(playbook_id, version)
        return _version(row[:-1], history=history, document=row[-1])

    def get_version(self, playbook_id: PlaybookId, version: str) -> PlaybookVersion:
        """One version with its document and history. Raises NotFound."""
        found = self.find_version(playbook_id, version)
        if found is None:
            raise NotFound(version_name(playbook_id, version))
        return found

    def author(self, playbook_id: PlaybookId, version: str) -> Principal:
        """Who stored a version. Raises NotFound."""
        same = (playbook_versions.c.playbook_id == playbook_id) & (playbook_versions.c.version == version)
        row = self._connection.execute(select(playbook_versions.c.author).where(same)).first()
        if row is None:
            raise NotFound(version_name(playbook_id, version))
        return Principal(row[0])

    def release(self, playbook_id: PlaybookId, version: str) -> Release:
        """What starting needs of a version. Raises NotFound."""
        row = self._statements.release.execute_row(self._driver, (playbook_id, version)).fetchone()
        if row is None:
            raise NotFound(version_name(playbook_id, version))
        return release_from(row)

    def get(self, playbook_id: PlaybookId) -> Playbook:
        """A playbook and its versions, newest first, without documents. Raises NotFound."""
        versions = tuple(self._versions([playbook_id]))
        if not versions:
            raise NotFound(f"playbooks/{playbook_id}")
        return Playbook(playbook_id, min(version.created_at for version in versions), versions)

    def page(self, after: str, limit: int) -> list[Playbook]:
        """Playbooks by id, after an id."""
        ids = (
            select(playbook_versions.c.playbook_id)
            .where(playbook_versions.c.playbook_id > after)
            .distinct()
            .order_by(playbook_versions.c.playbook_id)
            .limit(limit)
        )
        return [self.get(playbook_id) for (playbook_id,) in self._connection.execute(ids).all()]

    def documents(self) -> Iterator[tuple[str, str, bytes]]:
        """Of each version its resource name, its digest, and its manifest's text."""
        columns = (playbook_versions.c[name] for name in ("playbook_id", "version", "digest", "document"))
        query = select(*columns).execution_options(yield_per=100)
        for playbook_id, version, digest, document in self._connection.execute(query):
            yield version_name(playbook_id, version), digest, bytes(document)

    def change_publication(self, version: PlaybookVersion, change: PublicationChange) -> None:
        """Moves a version's publication and adds to its history."""
        wanted = (playbook_versions.c.playbook_id == version.playbook_id) & (
            playbook_versions.c.version == version.version
        )
        moved = update(playbook_versions).where(wanted, playbook_versions.c.publication == change.previous.value)
        is_reviewed = version.is_reviewed or any(one.kind == REVIEW for one in change.evidence)
        after = {"publication": change.current.value, "updated_at": change.changed_at, "is_reviewed": int(is_reviewed)}
        changed = self._connection.execute(moved.values(after))
        if changed.rowcount != 1:
            raise DataCorrupt(version.name, "its publication is not what was just read")
        row = {
            "playbook_id": version.playbook_id,
            "version": version.version,
            "position": len(self._history(version.playbook_id, version.version)) + 1,
            "previous": change.previous.value,
            "current": change.current.value,
            "evidence": json.dumps([[e.kind, e.id, e.description] for e in change.evidence]),
            "reason": change.reason,
            "actor": change.actor,
            "changed_at": change.changed_at,
        }
        self._connection.execute(insert(publication_changes).values(row))

    def plan(self, digest: bytes) -> bytes:
        """A compiled plan's bytes. Raises DataCorrupt where they are gone, or others: plans are kept for ever."""
        row = self._connection.execute(select(plans.c.plan).where(plans.c.digest == digest)).first()
        if row is None:
            raise DataCorrupt(f"plan {digest.hex()}", "it is not stored")
        plan = bytes(row[0])
        if hashlib.sha256(plan).digest() != digest:
            raise DataCorrupt(f"plan {digest.hex()}", "its bytes have another digest")
        return plan

    def _versions(self, playbook_ids: Iterable[PlaybookId]) -> Iterable[PlaybookVersion]:
        query: Select[Any] = (
            select(*_SUMMARY)
            .where(playbook_versions.c.playbook_id.in_(list(playbook_ids)))
            .order_by(playbook_versions.c.playbook_id, playbook_versions.c.position.desc())
        )
        return [_version(row, history=self._history(row[0], row[1])) for row in self._connection.execute(query).all()]

    def _history(self, playbook_id: PlaybookId, version: str) -> tuple[PublicationChange, ...]:
        wanted = (publication_changes.c.playbook_id == playbook_id) & (publication_changes.c.version == version)
        query = select(publication_changes).where(wanted).order_by(publication_changes.c.position)
        return tuple(_change(row) for row in self._connection.execute(query))


def release_from(row: Any) -> Release:
    """The release that a row holds, its values in the order of RELEASE_COLUMNS."""
    playbook, name, digest, plan_digest, publication, warnings, is_reviewed = row
    codes = tuple(json.loads(warnings))
    return Release(playbook, name, digest, plan_digest, Publication(publication), codes, bool(is_reviewed))


def _version(row: Any, *, history: tuple[PublicationChange, ...], document: bytes = b"") -> PlaybookVersion:
    values = dict(zip(_names(_SUMMARY), row, strict=True))
    values |= {"publication": Publication(values["publication"]), "is_reviewed": bool(values["is_reviewed"])}
    values["warnings"] = tuple(json.loads(values["warnings"]))
    return PlaybookVersion(**values, history=history, document=document)


def _change(row: Any) -> PublicationChange:
    return PublicationChange(
        previous=Publication(row.previous),
        current=Publication(row.current),
        evidence=tuple(Evidence(*parts) for parts in json.loads(row.evidence)),
        reason=row.reason,
        actor=Principal(row.actor),
        changed_at=row.changed_at,
    )


def _names(columns: Iterable[Any]) -> list[str]:
    return [column.name for column in columns]
