"""What this control plane refuses to exceed, and how long it waits."""

from dataclasses import dataclass

SECOND = 1_000_000
"""Microseconds in a second; every time and duration below is in microseconds."""


QUEUE_POLL = 30 * SECOND
"""How long an executor with room leaves a queue that had nothing for it alone at most. A run that becomes ready is told
of at once; that may be lost, and this is then how long it takes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on sizes and counts."""

    max_message_bytes: int = 4 * 1024 * 1024
    max_stream_message_bytes: int = 16 * 1024 * 1024
    """Also what is read of any call: more than is accepted, so that what is too large gets a refusal with a reason."""
    max_payload_bytes: int = 1024 * 1024
    max_manifest_bytes: int = 1024 * 1024
    max_plan_nodes: int = 1000
    default_page_size: int = 100
    max_page_size: int = 500
    max_page_bytes: int = 1024 * 1024
    max_queued_runs: int = 100_000
    max_remarks: int = 100
    max_kept_signals: int = 100
    """Signals of a run that nothing has taken."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Leases and the waits around them, in microseconds."""

    lease: int = 30 * SECOND
    heartbeat_interval: int = 10 * SECOND
    stall_allowance: int = 30 * SECOND
    stop_grace: int = 10 * SECOND
    assignment_ack: int = 5 * SECOND
    sweep_interval: int = 1 * SECOND
    stream_age: int = 45 * 60 * SECOND
    drain_notice: int = 30 * SECOND
    takeover_limit: int = 5
    """Leases lapsed since the run last got on, after which it is held."""
