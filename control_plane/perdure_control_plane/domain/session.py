"""Sessions and the agents that work in them."""

from dataclasses import dataclass

from perdure_control_plane.domain.ids import AgentId, RunId, SessionId


@dataclass(frozen=True, slots=True)
class Session:
    """A line of work."""

    session_id: SessionId
    root_agent_id: AgentId
    created_at: int
    parent_session_id: SessionId | None = None
    """The session of the run that started the one which this session is of."""
    spawned_by_run_id: RunId | None = None
    """That run, which its root agent was spawned by; known where the session is made."""

    @property
    def name(self) -> str:
        """The session's resource name."""
        return f"sessions/{self.session_id}"


@dataclass(frozen=True, slots=True)
class Agent:
    """An identity that works in a session; a root agent was spawned by no run."""

    agent_id: AgentId
    session_id: SessionId
    spawned_by_run_id: RunId | None
    created_at: int
