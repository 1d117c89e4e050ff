"""What tables say of people's acts, where the audit trail says something else.

Who started, wrote, voted and decided is what four eyes and quorums go by, and a key's role what anybody may do. Each stands
in a row, which whoever has the database can change. The audit trail has it once more, in a chain that shows it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, String, and_, case, cast, func, literal, outerjoin, select
from sqlalchemy.engine import Connection

from perdure.audit.events import AuditDetail, AuditOutcome, AuditType
from perdure_control_plane.domain.approval import ApprovalState
from perdure_control_plane.domain.audit import ChainHead
from perdure_control_plane.domain.playbook import STARTABLE, Publication
from perdure_control_plane.domain.policy import Policy
from perdure_control_plane.storage.audit_chain import AuditChain, details_of
from perdure_control_plane.storage.policies import Policies
from perdure_control_plane.storage.tables import (
    api_keys,
    approval_votes,
    approvals,
    audit_events,
    flows,
    playbook_versions,
    publication_changes,
    schedules,
)

AT_ONCE: Final = 500
"""Rows that are read in one go."""

_CLOCKS_APART: Final = 1_000_000
"""Microseconds within which nobody knows which of two events was first: servers remember the time a little."""

_COMPARED: Final = ("principal", *AuditDetail)

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unaudited:
    """A row that says what no audit event does, or what one denies. `run_id` is empty where it is of no run."""

    run_id: str
    message: str


@dataclass(slots=True)
class Comparison:
    """What came of comparing tables with the audit trail."""

    found: list[Unaudited] = field(default_factory=list)
    too_old: int = 0
    """Rows that are older than the audit events that are kept, and of which none says anything."""


def compare_with_audit(connection: Connection) -> Comparison:
    """Compares every such row of a store. `connection` reads it; what it reads should be one snapshot."""
    chain = AuditChain(connection).head()
    kept, comparison = _Kept(chain.position, _pruned_until(connection, chain)), Comparison()
    for acts in _ACTS:
        acts.compare(connection, kept, comparison)
    comparison.found += [*_lost_votes(connection, kept), *_policy(connection, kept)]
    return comparison


class _Kept(NamedTuple):
    """The events that there are: up to a position, and what was recorded after a time, microseconds since 1970."""

    position: int
    since: int


def _pruned_until(connection: Connection, chain: ChainHead) -> int:
    """When the last event that was pruned had been recorded at the latest; -1 where none was, as far as the trail says."""
    pruned = chain.pruned_position
    if not pruned:
        return -1
    query = select(audit_events.c.details, audit_events.c.recorded_at).where(
        audit_events.c.type == AuditType.AUDIT_PRUNED.value, audit_events.c.position.between(0, chain.position)
    )
    told = [at for details, at in connection.execute(query) if details_of(details).get("position") == str(pruned)]
    signed = [head.signed_at for head in AuditChain(connection).signed(pruned, pruned)]
    return min(*told, *signed) if told and signed else -1


def _lost_votes(connection: Connection, kept: _Kept) -> Iterator[Unaudited]:
    """Votes of open approvals that events tell of and no row has any more."""
    resource = literal("approvals/") + approvals.c.approval_id
    told = and_(
        audit_events.c.resource == resource,
        audit_events.c.type == AuditType.HUMAN_VOTE.value,
        audit_events.c.position.between(0, kept.position),
    )
    counted = and_(
        approval_votes.c.approval_id == approvals.c.approval_id, approval_votes.c.voter == audit_events.c.principal
    )
    votes = approvals.join(audit_events, told).outerjoin(approval_votes, counted)
    query = select(approvals.c.run_id, resource, audit_events.c.principal).select_from(votes)
    lost = approvals.c.state == ApprovalState.OPEN.value, approval_votes.c.voter.is_(None)
    for run_id, name, principal in connection.execute(query.where(*lost)):
        yield Unaudited(run_id, f"{name}: an audit event says that {principal} voted, and the vote is not there")


def _policy(connection: Connection, kept: _Kept) -> Iterator[Unaudited]:
    """What the environment demands, where that is not what it was last set to."""
    query = select(audit_events.c.recorded_at, audit_events.c.principal, audit_events.c.details).where(
        audit_events.c.type == AuditType.POLICY_CHANGED.value, audit_events.c.position.between(0, kept.position)
    )
    told = sorted((at, by, details_of(details).get("policy", "")) for at, by, details in connection.execute(query))
    last = [(by, demanded) for at, by, demanded in told if at > told[-1][0] - _CLOCKS_APART]
    policy = Policies(connection).get()
    is_bare = not told and (policy == Policy() or policy.updated_at <= kept.since)
    if not is_bare and (policy.updated_by, policy.words) not in last:
        said = f"{policy.updated_by or 'nobody'} demands {policy.words}"
        others = " or ".join(f"{by} {demanded}" for by, demanded in last) or "nothing"
        yield Unaudited("", f"policy: {said}, and the last audit event says {others}")


@dataclass(frozen=True, slots=True)
class _Acts:
    """Rows that say that something was done, and the event that there is where it was."""

    rows: Select[Any]
    """With columns `run_id`, `resource` and `at`, microseconds since 1970. Columns that are called as details of the event
    are those, empty where it has none; one that is called `principal` is whoever did it."""
    types: tuple[AuditType, ...]
    saying: str
    """What is wrong, with columns in braces."""
    one_of: str = ""
    """The column that tells rows of one resource apart; empty where it has one."""
    deny: bool = False
    """The rows are wrong where there is such an event."""

    def compare(self, connection: Connection, kept: _Kept, comparison: Comparison) -> None:
        """Adds the rows that are wrong. One is that no event agrees with, unless it is too old and none is about it."""
        for row, events in self._with_events(connection, kept.position):
            said = {name: _word(value) for name, value in row.items()}
            wanted = {name: said[name] for name in _COMPARED if name in said}
            agrees = any(all(event.get(name, "") == word for name, word in wanted.items()) for event in events)
            about = [event for event in events if event.get(self.one_of) == said.get(self.one_of)]
            if not agrees and not self.deny and not about and row["at"] <= kept.since:
                comparison.too_old += 1
            elif agrees is self.deny:
                wrong = f"{said['resource']}: {self.saying.format(**said)}"
                comparison.found.append(Unaudited(said["run_id"], wrong))

    def _with_events(self, connection: Connection, last: int) -> Iterator[tuple[_Row, list[dict[str, str]]]]:
        """Each row, and what the events of its resource say."""
        rows = self.rows.subquery()
        about = (
            audit_events.c.resource == rows.c.resource,
            audit_events.c.outcome == AuditOutcome.DONE.value,
            audit_events.c.type.in_([kind.value for kind in self.types]),
            audit_events.c.position.between(0, last),
        )
        both = outerjoin(rows, audit_events, and_(*about))
        query = select(*rows.c, audit_events.c.principal, audit_events.c.details).select_from(both)
        query = query.order_by(*rows.c).execution_options(yield_per=AT_ONCE)
        found: Iterator[tuple[Any, ...]] = map(tuple, connection.execute(query))
        for said, group in groupby(found, key=lambda one: one[:-2]):
            events = [{**details_of(one[-1]), "principal": one[-2]} for one in group if one[-1] is not None]
            yield dict(zip(rows.c.keys(), said, strict=True)), events


def _word(value: object) -> str:
    """As it stands in an event."""
    return value.hex() if isinstance(value, bytes) else str(value or "")


_NO_RUN: Final = literal("").label("run_id")
_APPROVAL: Final = (literal("approvals/") + approvals.c.approval_id).label("resource")
_VERSION: Final = (
    literal("playbooks/") + playbook_versions.c.playbook_id + literal("/versions/") + playbook_versions.c.version
).label("resource")
_KEY: Final = (literal("keys/") + api_keys.c.key_name).label("resource")
_EXPIRES: Final = case((api_keys.c.expires_at == 0, "never"), else_=cast(api_keys.c.expires_at, String)).label(
    "expires"
)
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
_PUBLISHED_AT: Final = (
    select(func.min(publication_changes.c.changed_at))
    .where(
        publication_changes.c.playbook_id == playbook_versions.c.playbook_id,
        publication_changes.c.version == playbook_versions.c.version,
    )
    .scalar_subquery()
)
_VERSIONS: Final = select(
    _NO_RUN,
    _VERSION,
    func.coalesce(_PUBLISHED_AT, playbook_versions.c.updated_at).label("at"),
    playbook_versions.c.digest,
)
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
        one_of="principal",
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
            playbook_versions.c.plan_digest,
        ),
        (AuditType.PLAYBOOK_CREATED,),
        f"{{principal}} wrote it with the digest {{digest}}, {_NOBODY_SAYS_SO}",
    ),
    _Acts(
        select(
            _NO_RUN,
            (literal("schedules/") + schedules.c.schedule_id).label("resource"),
            schedules.c.principal,
            schedules.c.created_at.label("at"),
        ),
        (AuditType.SCHEDULE_CREATED,),
        f"{{principal}} made it, {_NOBODY_SAYS_SO}",
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
        _KEYS.add_columns(_EXPIRES).where(api_keys.c.revoked_at == 0),
        (AuditType.KEY_CREATED, AuditType.KEY_ROTATED),
        f"it expires {{expires}}, {_NOBODY_SAYS_SO}",
        one_of="key_id",
    ),
    _Acts(
        _KEYS.add_columns(api_keys.c.created_by.label("principal"), api_keys.c.role),
        (AuditType.KEY_CREATED,),
        f"{{principal}} made it with the role {{role}}, {_NOBODY_SAYS_SO}",
        one_of="key_id",
    ),
    _Acts(
        _KEYS.where(api_keys.c.revoked_at == 0),
        (AuditType.KEY_REVOKED,),
        "it is not revoked, and an audit event says that it was",
        deny=True,
    ),
)
