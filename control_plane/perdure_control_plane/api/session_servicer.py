"""SessionService and AgentService."""

from typing import Any

from perdure.v1 import agents_pb2, agents_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from perdure_control_plane.api import names, requests
from perdure_control_plane.api.interceptors import caller
from perdure_control_plane.api.messages import sessions as messages
from perdure_control_plane.api.pages import Pages
from perdure_control_plane.domain.ids import SessionId
from perdure_control_plane.domain.limits import Limits
from perdure_control_plane.usecases.create_session import create_session
from perdure_control_plane.usecases.ports import Store
from perdure_control_plane.usecases.read_logs import session_events


class SessionServicer(sessions_pb2_grpc.SessionServiceServicer):
    """Keeps sessions."""

    def __init__(self, store: Store, limits: Limits, pages: Pages) -> None:
        self._store = store
        self._limits = limits
        self._pages = pages

    async def CreateSession(self, request: sessions_pb2.CreateSessionRequest, context: Any) -> sessions_pb2.Session:
        """Makes a session."""
        chosen = SessionId(names.chosen_id(request.session_id, "session_id")) if request.session_id else None
        request_id = requests.request_id(request.request_id)
        return messages.session(await create_session(self._store, caller(), chosen, request_id))

    async def GetSession(self, request: sessions_pb2.GetSessionRequest, context: Any) -> sessions_pb2.Session:
        """Shows a session."""
        session_id = names.session_id(request.name)
        return messages.session(await self._store.read(lambda tx: tx.sessions.get(session_id)))

    async def ListSessions(
        self, request: sessions_pb2.ListSessionsRequest, context: Any
    ) -> sessions_pb2.ListSessionsResponse:
        """Lists sessions."""
        size, after = self._pages.size(request.page_size), self._pages.position(request) or ""
        found = await self._store.read(lambda tx: tx.sessions.page(after, size))
        listed, token = self._pages.page(request, found, size, lambda session: session.session_id, messages.session)
        return sessions_pb2.ListSessionsResponse(sessions=listed, next_page_token=token)

    async def ListSessionEvents(
        self, request: sessions_pb2.ListSessionEventsRequest, context: Any
    ) -> sessions_pb2.ListSessionEventsResponse:
        """Lists the events of a session's runs."""
        size, position = self._pages.size(request.page_size), self._pages.position(request)
        found = await session_events(self._store, self._limits, names.session_id(request.name), position, size)
        token = self._pages.token(request, found.position) if found.more else ""
        return sessions_pb2.ListSessionEventsResponse(events=found.events, next_page_token=token)


class AgentServicer(agents_pb2_grpc.AgentServiceServicer):
    """Shows agents."""

    def __init__(self, store: Store, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    async def GetAgent(self, request: agents_pb2.GetAgentRequest, context: Any) -> agents_pb2.Agent:
        """Shows an agent."""
        agent_id = names.agent_id(request.name)
        return messages.agent(await self._store.read(lambda tx: tx.sessions.get_agent(agent_id)))

    async def ListAgents(self, request: agents_pb2.ListAgentsRequest, context: Any) -> agents_pb2.ListAgentsResponse:
        """Lists agents."""
        size, after = self._pages.size(request.page_size), tuple(self._pages.position(request) or ("", ""))
        wanted = names.session_id(request.session, "session") if request.session else None
        found = await self._store.read(lambda tx: tx.sessions.page_agents(wanted, after, size))
        listed, token = self._pages.page(
            request, found, size, lambda agent: [agent.session_id, agent.agent_id], messages.agent
        )
        return agents_pb2.ListAgentsResponse(agents=listed, next_page_token=token)
