"""Sessions and agents as messages."""

from perdure.v1 import agents_pb2, sessions_pb2
from perdure_control_plane.api.messages.times import timestamp
from perdure_control_plane.domain.session import Agent, Session


def session(value: Session) -> sessions_pb2.Session:
    """A session."""
    return sessions_pb2.Session(
        name=value.name,
        root_agent=f"agents/{value.root_agent_id}",
        create_time=timestamp(value.created_at),
        parent_session=f"sessions/{value.parent_session_id}" if value.parent_session_id else "",
    )


def agent(value: Agent) -> agents_pb2.Agent:
    """An agent."""
    return agents_pb2.Agent(
        name=f"agents/{value.agent_id}",
        session=f"sessions/{value.session_id}",
        spawned_by_run=f"runs/{value.spawned_by_run_id}" if value.spawned_by_run_id else "",
        create_time=timestamp(value.created_at),
    )
