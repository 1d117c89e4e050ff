"""What the environment demands of playbooks: `policies`."""

import json
from dataclasses import asdict, fields
from typing import Any, Final

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from perdure_control_plane.domain.policy import Policy
from perdure_control_plane.storage.tables import policies

POLICY_COLUMNS: Final = [policies.c[field.name] for field in fields(Policy)]


class Policies:
    """Keeps the policy."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self) -> Policy:
        """The policy, which nobody else changes before this transaction ends, where there is one."""
        row = self._connection.execute(select(*POLICY_COLUMNS).with_for_update()).first()
        return Policy() if row is None else policy_from(row)

    def get(self) -> Policy:
        """The policy."""
        row = self._connection.execute(select(*POLICY_COLUMNS)).first()
        return Policy() if row is None else policy_from(row)

    def save(self, policy: Policy) -> None:
        """Stores the policy, in place of the one before."""
        self._connection.execute(delete(policies))
        told = {**asdict(policy), "blocked_warnings": json.dumps(policy.blocked_warnings)}
        numbers = {name: int(value) if isinstance(value, bool) else value for name, value in told.items()}
        self._connection.execute(insert(policies).values(id=1, **numbers))


def policy_from(row: Any) -> Policy:
    """The policy that a row of POLICY_COLUMNS holds."""
    block, blocked, review, approval, updated_at, updated_by, reason = row
    return Policy(bool(block), tuple(json.loads(blocked)), bool(review), bool(approval), updated_at, updated_by, reason)
