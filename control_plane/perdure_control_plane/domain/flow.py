"""Flows: one start of a playbook, and what became of the work under it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from perdure.runlog.json_objects import JsonObject
from perdure.runlog.states import TERMINAL, RunState
from perdure_control_plane.domain.ids import (
    AgentId,
    ApprovalId,
    FlowId,
    PlaybookId,
    Principal,
    RunId,
    SessionId,
)
from perdure_control_plane.domain.playbook import Evidence, Release
from perdure_control_plane.domain.policy import Policy
from perdure_control_plane.domain.run import Run
from perdure_control_plane.domain.session import Session


@dataclass(frozen=True, slots=True)
class RequestSource:
    """Where a request says that it came from; shown, never trusted."""

    source_plugin: str = ""
    source_kind: str = ""
    actor_id: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """What of a flow never changes."""

    flow_id: FlowId
    idempotency_key: str
    principal: Principal
    playbook_id: PlaybookId
    version: str
    digest: str
    session_id: SessionId
    root_run_id: RunId
    request_digest: bytes
    metadata: JsonObject
    source: RequestSource
    created_at: int

    @property
    def name(self) -> str:
        """The flow's resource name."""
        return f"flows/{self.flow_id}"


@dataclass(frozen=True, slots=True)
class Ground:
    """What there is when a flow is to be started. None for what there is not."""

    begun: Flow | None
    """The flow that the same key began."""
    release: Release | None
    session: Session | None
    policy: Policy
    """What the environment demands of the version."""


class FlowStatus(StrEnum):
    """What became of a flow."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    MOVED = "MOVED"
    INTERRUPTED = "INTERRUPTED"
    SUCCEEDED = "SUCCEEDED"


@dataclass(frozen=True, slots=True)
class ContractCheck:
    """One required piece of evidence, and whether it is there."""

    evidence: Evidence
    passed: bool


@dataclass(frozen=True, slots=True)
class FlowView:
    """A flow as it is at one reading: computed from its primitives, never stored."""

    flow: Flow
    status: FlowStatus
    decided_by: str
    """Name of the primitive that decided the status; empty where the contract or nothing did."""
    settled: bool
    """No work of it can still move by itself or by a fact that is awaited."""
    runs: tuple[Run, ...]
    tasks: tuple[str, ...]
    agents: tuple[AgentId, ...]
    approvals: tuple[ApprovalId, ...]
    contract: tuple[ContractCheck, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status, and the primitive that decided it."""

    status: FlowStatus
    decided_by: str = ""


STATUS_OF_RUN: dict[RunState, FlowStatus] = {
    RunState.FAILED: FlowStatus.FAILED,
    RunState.EXPIRED: FlowStatus.FAILED,
    RunState.TIMED_OUT: FlowStatus.FAILED,
    RunState.CANCELLED: FlowStatus.CANCELLED,
    RunState.PAUSED: FlowStatus.WAITING,
    RunState.QUEUED: FlowStatus.RUNNING,
    RunState.RUNNING: FlowStatus.RUNNING,
    RunState.MOVED: FlowStatus.MOVED,
    RunState.INTERRUPTED: FlowStatus.INTERRUPTED,
    RunState.COMPLETED: FlowStatus.SUCCEEDED,
}
"""What a run in a state makes of its flow, unless another run has more weight."""

Awaited = Mapping[RunId, Collection[RunId]]
"""Of each run that waits for nothing but the ends of runs that it has started: those."""

NOBODY: Awaited = {}

PRECEDENCE: tuple[FlowStatus, ...] = tuple(FlowStatus)
"""The first that matches holds; the enum's own order."""


def flow_verdict(
    flow: Flow,
    runs: Sequence[Run],
    contract: Sequence[ContractCheck],
    *,
    awaited: Awaited = NOBODY,
    walked_to_end: bool = False,
) -> Verdict:
    """What became of a flow whose runs are these; the root is among them unless it cannot be read.

    A wait, a hold or an effect in doubt shows as a PAUSED run. A hold or a doubt shows, too, while its holder lets other
    work end first, and a doubt beside a run that was interrupted. `walked_to_end` says of an interrupted root that nothing
    was left to do: such a root counts as complete.
    """
    root = next((run for run in runs if run.run_id == flow.root_run_id), None)
    if root is None:
        return Verdict(FlowStatus.UNKNOWN, f"runs/{flow.root_run_id}")
    found = [
        Verdict(status, run.name)
        for run, status in _effective(runs, awaited, walked_to_end=root.run_id if walked_to_end else None)
    ]
    decided = min(found, key=lambda verdict: PRECEDENCE.index(verdict.status))
    if decided.status is FlowStatus.SUCCEEDED:
        missing = next((check for check in contract if not check.passed), None)
        if missing is not None:
            return Verdict(FlowStatus.FAILED, "")
        return Verdict(FlowStatus.SUCCEEDED, root.name)
    return decided


def _effective(
    runs: Sequence[Run], awaited: Awaited, *, walked_to_end: RunId | None
) -> Iterator[tuple[Run, FlowStatus]]:
    """The runs that say what becomes of their flow, each with what it says.

    A child that has ended speaks through its parent, which goes on or ends as its plan says; and a run that waits for
    children alone through those that have not ended. One that was interrupted waits for a person, and so does its parent.
    """
    by_id = {run.run_id: run for run in runs}
    for run in runs:
        children = [by_id[child] for child in awaited.get(run.run_id, ()) if child in by_id]
        if children:
            if all(child.head.ended_sequence for child in children):
                yield run, FlowStatus.RUNNING if any(map(_is_over, children)) else FlowStatus.WAITING
        elif run.identity.parent_run_id is None or not _is_over(run):
            yield run, _status_of(run, walked_to_end=run.run_id == walked_to_end)


def _is_over(run: Run) -> bool:
    return run.head.state in TERMINAL and run.head.state is not RunState.INTERRUPTED


def is_settled(runs: Sequence[Run]) -> bool:
    """Whether no run can still move by itself or by a fact that is awaited."""
    return bool(runs) and all(run.head.ended_sequence > 0 for run in runs)


def _status_of(run: Run, *, walked_to_end: bool) -> FlowStatus:
    status = STATUS_OF_RUN[run.head.state]
    if (run.head.held and status is FlowStatus.RUNNING) or (run.head.in_doubt and status is FlowStatus.INTERRUPTED):
        return FlowStatus.WAITING
    return FlowStatus.SUCCEEDED if status is FlowStatus.INTERRUPTED and walked_to_end else status
