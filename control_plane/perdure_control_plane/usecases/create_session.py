"""Makes a session and its root agent."""

from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import AgentId, SessionId, new_id
from perdure_control_plane.domain.session import Session
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def create_session(store: Store, caller: Caller, session_id: SessionId | None, request_id: str) -> Session:
    """Makes the session, or returns it where there is one of that id. Raises RequestIdReused."""
    chosen = session_id or SessionId(request_id or new_id())

    def body(tx: Transaction) -> Session:
        is_repetition(tx, caller, request_id, "CreateSession", f"sessions/{chosen}", session_id or "")
        stored = tx.sessions.find(chosen)
        if stored is not None:
            return stored
        session = Session(chosen, AgentId(new_id()), tx.now)
        tx.sessions.add(session)
        return session

    return await store.write(body)
