"""Ids and keys that are derived, never drawn: the same work has the same ones after any crash."""

import hashlib
import uuid
from typing import Final

from perdure.runlog.instances import Instance, Step
from perdure.v1 import instances_pb2

GUARDED: Final = frozenset({instances_pb2.EFFECT_AT_MOST_ONCE, instances_pb2.EFFECT_COMPENSABLE})
"""Effects that are begun only when their start is committed, and never repeated by themselves."""


def idempotency_key(lineage_id: str, path: tuple[Step, ...], redos: tuple[int, ...]) -> str:
    """The key under which the outside world is asked for an effect: 64 hexadecimal digits.

    `redos` has one number for each level of `path`. Attempts, executors and takeovers do not change the key; each
    visit does, and so does each "retry as new".
    """
    levels = (f"{step}^{redo}" for step, redo in zip(path, redos, strict=True))
    return hashlib.sha256("\n".join([lineage_id, *levels]).encode()).hexdigest()


def approval_id(run_id: str, instance: Instance) -> str:
    """The id of the approval that an instance asks for."""
    return _derived("approval", run_id, str(instance))


def task_id(run_id: str, instance: Instance, lease_id: str) -> str:
    """The id of the task that runs an instance's command under a lease."""
    return _derived("task", run_id, str(instance), lease_id)


def child_run_id(run_id: str, instance: Instance) -> str:
    """The id of the run that an instance starts as its child."""
    return _derived("child", run_id, str(instance))


def child_session_id(child_run_id: str) -> str:
    """The id of a child run's own session."""
    return _derived("session", child_run_id)


def child_agent_id(child_run_id: str) -> str:
    """The id of the agent that works in a child run's session."""
    return _derived("agent", child_run_id)


def _derived(*parts: str) -> str:
    digest = bytearray(hashlib.sha256("\n".join(parts).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # version 8: the maker's own scheme (RFC 9562)
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))
