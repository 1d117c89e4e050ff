"""A run as the control plane knows it: who it is, and where it stands."""

from dataclasses import dataclass

from perdure.runlog.head import RunHead
from perdure_control_plane.domain.ids import (
    AgentId,
    FlowId,
    PlaybookId,
    Principal,
    RunId,
    SessionId,
)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What of a run never changes; folded from its `run_created`."""

    run_id: RunId
    flow_id: FlowId
    session_id: SessionId
    agent_id: AgentId
    parent_run_id: RunId | None
    lineage_id: str
    playbook_id: PlaybookId
    playbook_version: str
    plan_digest: bytes
    fold_version: int
    term: int
    queue: str
    priority: int
    providers: tuple[str, ...]
    labels: tuple[str, ...]
    starter: Principal
    created_at: int
    """Microseconds since 1970, by the store's clock."""
    concurrency_key: str = ""
    """What it is counted by where it needs a place; empty where it needs none."""
    concurrency_limit: int = 0
    """Runs of its key of which it may be one."""
    part_instance: str = ""
    """The attempt of its parent that it does, as text; empty where it is no part run."""

    @property
    def name(self) -> str:
        """The run's resource name."""
        return f"runs/{self.run_id}"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Its head may be folded further by whoever holds the row."""

    identity: RunIdentity
    head: RunHead

    @property
    def run_id(self) -> RunId:
        """The run's id."""
        return self.identity.run_id

    @property
    def name(self) -> str:
        """The run's resource name."""
        return self.identity.name
