"""Identifiers: which is which, and how new ones are made."""

import secrets
from typing import NewType

import uuid_utils

RunId = NewType("RunId", str)
FlowId = NewType("FlowId", str)
SessionId = NewType("SessionId", str)
AgentId = NewType("AgentId", str)
ApprovalId = NewType("ApprovalId", str)
TaskId = NewType("TaskId", str)
PlaybookId = NewType("PlaybookId", str)
LeaseId = NewType("LeaseId", str)
Incarnation = NewType("Incarnation", str)
Principal = NewType("Principal", str)

ANONYMOUS = Principal("anonymous")
"""Whoever calls a server that runs open."""

SYSTEM = Principal("system")
"""The control plane itself, where no request is behind what it does."""


def new_id() -> str:
    """A new id. It happens to sort by time; nothing may rely on that."""
    return str(uuid_utils.uuid7())


def new_lease_id() -> LeaseId:
    """A new lease id: random, so that nobody can hold a lease without having been given it."""
    return LeaseId(secrets.token_hex(16))
