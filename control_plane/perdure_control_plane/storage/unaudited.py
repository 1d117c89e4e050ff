"""What tables say of people's acts, where the audit trail says something else.

Who started, wrote, voted and decided is what four eyes and quorums go by, and a key's role what anybody may do. Each stands
in a row, which whoever has the database can change. The audit trail has it once more, in a chain that shows it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Select, and_, literal, outerjoin, select
from sqlalchemy.engine import Connection

from perdure.audit.events import AuditDetail, AuditOutcome, AuditType
from perdure_control_plane.domain.approval import ApprovalState
from perdure_control_plane.domain.playbook import STARTABLE, Publication
from perdure_control_plane.storage.audit_chain import AuditChain
from perdure_control_plane.storage.tables import (
    api_keys,
    approval_votes,
    approvals,
    audit_events,
    flows,
    playbook_versions,
)

AT_ONCE: Final = 500
"""Rows that are read in one go."""


@dataclass(frozen=True, slots=True)
class Unaudited:
    """A row that says what no audit event does, or what one denies. `run_id` is empty where it is of no run."""

    run_id: str
    message: str


def unaudited(connection: Connection) -> Iterator[Unaudited]:
    """Every such row of a store. What is older than audit events that were deleted can only be denied.

    `connection` reads the store; what it reads should be one snapshot.
    """
    chain = AuditChain(connection)
    pruned = chain.head().pruned_position
    since = max((head.signed_at for head in chain.signed(pruned, pruned)), default=0)
    for acts in _ACTS:
        yield from acts.unaudited(connection, since)


@dataclass(frozen=True, slots=True)
class _Acts:
    """Rows that say that something was done, and the event that there is where it was."""

    rows: Select[Any]
    """With columns `run_id`, `resource` and `at`, microseconds since 1970. Columns that are called as details of the event
    are those; one that is called `principal` is whoever did it. What is empty is not compared."""
    types: tuple[AuditType, ...]
    saying: str
    """What is wrong, with columns in braces."""
    deny: bool = False
    """The rows are wrong where there is such an event."""

    def unaudited(self, connection: Connection, since: int) -> Iterator[Unaudited]:
        """The rows that are wrong; of those that need an event only what is younger than `since`."""
        rows = self.rows.subquery()
        about = [
            audit_events.c.resource == rows.c.resource,
            audit_events.c.outcome == AuditOutcome.DONE.value,
            audit_events.c.type.in_([kind.value for kind in self.types]),
        ]
        if "principal" in rows.c:
            about.append(audit_events.c.principal == rows.c.principal)
        query = select(*rows.c, audit_events.c.details).select_from(outerjoin(rows, audit_events, and_(*about)))
        if not self.deny:
            query = query.where(rows.c["at"] > since)
        query = query.order_by(*rows.c).execution_options(yield_per=AT_ONCE)
        found: Iterator[tuple[Any, ...]] = map(tuple, connection.execute(query))
        for said, events in groupby(found, key=lambda one: one[:-1]):
            row = {name: _word(value) for name, value in zip(rows.c.keys(), said, strict=True)}
            wanted = {name: row[name] for name in AuditDetail if row.get(name)}
            told = (json.loads(event[-1]) for event in events if event[-1])
            if any(wanted.items() <= details.items() for details in told) is self.deny:
                yield Unaudited(row["run_id"], f"{row['resource']}: {self.saying.format(**row)}")


def _word(value: object) -> str:
    """As it stands in an event."""
    return value.hex() if isinstance(value, bytes) else str(value or "")


_NO_RUN: Final = literal("").label("run_id")
_APPROVAL: Final = (literal("approvals/") + approvals.c.approval_id).label("resource")
_VERSION: Final = (
    literal("playbooks/") + playbook_versions.c.playbook_id + literal("/versions/") + playbook_versions.c.version
).label("resource")
_KEY: Final = (literal("keys/") + api_keys.c.key_name).label("resource")
_NOBODY_SAYS_SO: Final = "and no audit event says so"

_DECIDED: Final = select(
    approvals.c.run_id,
    _APPROVAL,
    approvals.c.decider.label("principal"),
    approvals.c.closed_at.label("at"),
    approvals.c.decision,
    approvals.c.selected_option,
    approvals.c.content_digest,
).where(approvals.c.state == ApprovalState.DECIDED.value)
_VERSIONS: Final = select(_NO_RUN, _VERSION, playbook_versions.c.updated_at.label("at"), playbook_versions.c.digest)
_KEYS: Final = select(_NO_RUN, _KEY, api_keys.c.created_at.label("at"), api_keys.c.key_id)

_ACTS: Final = (
    _Acts(
        select(
            (literal("runs/") + flows.c.root_run_id).label("resource"),
            flows.c.root_run_id.label("run_id"),
            flows.c.principal,
            flows.c.created_at.label("at"),
            (literal("flows/") + flows.c.flow_id).label("flow"),
            flows.c.digest,
        ),
        (AuditType.RUN_CREATED,),
        f"{{principal}} started it, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        select(
            approval_votes.c.run_id,
            _APPROVAL,
            approval_votes.c.voter.label("principal"),
            approvals.c.created_at.label("at"),  # an older request may have been voted on before events were deleted
            approval_votes.c.decision,
            approval_votes.c.selected_option,
        ).join(approvals, approvals.c.approval_id == approval_votes.c.approval_id),
        (AuditType.HUMAN_VOTE, AuditType.HUMAN_DECISION),
        f"{{principal}} voted {{decision}}, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        _DECIDED.where(approvals.c.automatic == 0),
        (AuditType.HUMAN_DECISION,),
        f"{{principal}} decided {{decision}}, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        _DECIDED.with_only_columns(*list(_DECIDED.selected_columns)[:4]).where(approvals.c.automatic == 1),
        (AuditType.HUMAN_CONTINUED,),
        f"it went on by itself, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        select(
            _NO_RUN,
            _VERSION,
            playbook_versions.c.author.label("principal"),
            playbook_versions.c.created_at.label("at"),
            playbook_versions.c.digest,
        ),
        (AuditType.PLAYBOOK_CREATED,),
        f"{{principal}} wrote it with the digest {{digest}}, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        _VERSIONS.where(playbook_versions.c.publication.in_([one.value for one in STARTABLE])),
        (AuditType.PLAYBOOK_PUBLISHED,),
        f"it is published, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        _VERSIONS.where(playbook_versions.c.publication != Publication.REVOKED.value),
        (AuditType.PLAYBOOK_REVOKED,),
        "it is not revoked, and an audit event says that it was",
        deny=True,
    ),
    _Acts(
        _KEYS.add_columns(api_keys.c.created_by.label("principal"), api_keys.c.role),
        (AuditType.KEY_CREATED,),
        f"{{principal}} made it with the role {{role}}, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        _KEYS.where(api_keys.c.revoked_at == 0),
        (AuditType.KEY_REVOKED,),
        "it is not revoked, and an audit event says that it was",
        deny=True,
    ),
)
