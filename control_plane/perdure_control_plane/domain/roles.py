"""What callers may do: scopes, which RPCs declare in the protos, and the roles that have them."""

from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a caller must be allowed to do in order to call an RPC; named as in the protos."""

    SERVER_READ = "SERVER_READ"
    PLAYBOOKS_READ = "PLAYBOOKS_READ"
    PLAYBOOKS_WRITE = "PLAYBOOKS_WRITE"
    RUNS_READ = "RUNS_READ"
    RUNS_WRITE = "RUNS_WRITE"
    APPROVALS_READ = "APPROVALS_READ"
    APPROVALS_DECIDE = "APPROVALS_DECIDE"
    APPROVALS_COMMENT = "APPROVALS_COMMENT"
    WORK = "WORK"
    SERVER_WRITE = "SERVER_WRITE"
    KEYS_READ = "KEYS_READ"
    KEYS_WRITE = "KEYS_WRITE"
    IDENTITY_READ = "IDENTITY_READ"
    AUDIT_READ = "AUDIT_READ"
    POLICIES_READ = "POLICIES_READ"
    POLICIES_WRITE = "POLICIES_WRITE"
    CREDENTIALS_READ = "CREDENTIALS_READ"
    WEBHOOKS_READ = "WEBHOOKS_READ"
    WEBHOOKS_WRITE = "WEBHOOKS_WRITE"


class Role(StrEnum):
    """What a caller is."""

    ADMIN = "ADMIN"
    AUTHOR = "AUTHOR"
    OPERATOR = "OPERATOR"
    REVIEWER = "REVIEWER"
    EXECUTOR = "EXECUTOR"
    SERVICE = "SERVICE"
    VIEWER = "VIEWER"


_SEES: Final = frozenset(
    {
        Scope.IDENTITY_READ,
        Scope.SERVER_READ,
        Scope.PLAYBOOKS_READ,
        Scope.RUNS_READ,
        Scope.APPROVALS_READ,
        Scope.POLICIES_READ,
    }
)

SCOPES: Final[dict[Role, frozenset[Scope]]] = {
    Role.ADMIN: frozenset(Scope),
    Role.AUTHOR: _SEES | {Scope.PLAYBOOKS_WRITE, Scope.APPROVALS_COMMENT},
    Role.OPERATOR: _SEES
    | {
        Scope.RUNS_WRITE,
        Scope.APPROVALS_COMMENT,
        Scope.SERVER_WRITE,
        Scope.AUDIT_READ,
        Scope.CREDENTIALS_READ,
        Scope.WEBHOOKS_READ,
    },
    Role.REVIEWER: _SEES | {Scope.APPROVALS_DECIDE, Scope.APPROVALS_COMMENT},
    Role.EXECUTOR: frozenset({Scope.IDENTITY_READ, Scope.WORK}),
    Role.SERVICE: _SEES | {Scope.RUNS_WRITE, Scope.APPROVALS_COMMENT},
    Role.VIEWER: _SEES,
}
"""Who may do what. No role but ADMIN both starts work and decides about it."""

DECIDING_ROLES: Final = sorted(role.lower() for role, scopes in SCOPES.items() if Scope.APPROVALS_DECIDE in scopes)
"""Roles that decide, as assignees name them."""
