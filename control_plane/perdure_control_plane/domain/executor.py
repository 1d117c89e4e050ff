"""Executors, as the control plane sees them."""

from dataclasses import dataclass

from perdure_control_plane.domain.ids import Incarnation


@dataclass(frozen=True, slots=True)
class Executor:
    """One process that takes work. A restarted one is another."""

    executor_id: str
    incarnation: Incarnation
    stream_number: int
    """Raised by every hello: older streams of the incarnation end, and claims made for them fail."""
    lease_until: int
    renewed_at: int
    node_kinds: tuple[str, ...]
    queues: tuple[str, ...]
    providers: tuple[str, ...]
    labels: tuple[str, ...]
    fold_lowest: int
    fold_highest: int
    slots: int
    version: str
    snapshot_form: str = ""
    """Form of snapshots that it reads; known of one that has just said hello."""


@dataclass(frozen=True, slots=True)
class ListedExecutor:
    """An executor with what it does now."""

    executor: Executor
    live: bool
    held_runs: int
