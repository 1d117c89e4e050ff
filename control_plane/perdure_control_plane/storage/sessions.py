"""Sessions and agents."""

from typing import Final

from sqlalchemy import bindparam, insert, select
from sqlalchemy.engine import Connection, Dialect

from perdure_control_plane.domain.errors import NotFound
from perdure_control_plane.domain.ids import AgentId, SessionId
from perdure_control_plane.domain.session import Agent, Session
from perdure_control_plane.storage.statements import DriverConnection, Prepared
from perdure_control_plane.storage.tables import agents, sessions


class SessionStatements:
    """Statements over `sessions`, compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        wanted = select(*sessions.c).where(sessions.c.session_id == bindparam("session_id"))
        self.get: Final = Prepared(wanted, dialect)


class Sessions:
    """Keeps sessions and agents."""

    def __init__(self, connection: Connection, driver: DriverConnection, statements: SessionStatements) -> None:
        self._connection = connection
        self._driver = driver
        self._statements = statements

    def add(self, session: Session) -> None:
        """Stores a session and its root agent."""
        session_row = {
            "session_id": session.session_id,
            "root_agent_id": session.root_agent_id,
            "created_at": session.created_at,
            "parent_session_id": session.parent_session_id,
        }
        agent_row = {
            "agent_id": session.root_agent_id,
            "session_id": session.session_id,
            "spawned_by_run_id": session.spawned_by_run_id,
            "created_at": session.created_at,
        }
        self._connection.execute(insert(sessions).values(session_row))
        self._connection.execute(insert(agents).values(agent_row))

    def find(self, session_id: SessionId) -> Session | None:
        """The session, or None."""
        row = self._statements.get.execute_row(self._driver, (session_id,)).fetchone()
        return None if row is None else Session(*row)

    def get(self, session_id: SessionId) -> Session:
        """The session. Raises NotFound."""
        session = self.find(session_id)
        if session is None:
            raise NotFound(f"sessions/{session_id}")
        return session

    def page(self, after: str, limit: int) -> list[Session]:
        """Sessions by id, after an id."""
        query = select(*sessions.c).where(sessions.c.session_id > after).order_by(sessions.c.session_id).limit(limit)
        return [Session(*row) for row in self._connection.execute(query)]

    def get_agent(self, agent_id: AgentId) -> Agent:
        """The agent. Raises NotFound."""
        row = self._connection.execute(select(*agents.c).where(agents.c.agent_id == agent_id)).first()
        if row is None:
            raise NotFound(f"agents/{agent_id}")
        return Agent(*row)

    def page_agents(self, session_id: SessionId | None, after: tuple[str, str], limit: int) -> list[Agent]:
        """Agents by session and id, after a (session, agent)."""
        later = (agents.c.session_id > after[0]) | ((agents.c.session_id == after[0]) & (agents.c.agent_id > after[1]))
        query = select(*agents.c).where(later).order_by(agents.c.session_id, agents.c.agent_id).limit(limit)
        if session_id is not None:
            query = query.where(agents.c.session_id == session_id)
        return [Agent(*row) for row in self._connection.execute(query)]
