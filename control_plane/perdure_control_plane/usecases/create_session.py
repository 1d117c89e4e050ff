"""Makes a session and its root agent."""

from perdure.audit.events import AuditType
from perdure_control_plane.domain.audit import Act
from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.ids import AgentId, SessionId, new_id
from perdure_control_plane.domain.request import request_digest
from perdure_control_plane.domain.session import Session
from perdure_control_plane.usecases.ports import Store, Transaction
from perdure_control_plane.usecases.request_ids import is_repetition


async def create_session(store: Store, caller: Caller, session_id: SessionId | None, request_id: str) -> Session:
    """Makes the session, or returns it where there is one of that id. Raises RequestIdReused."""
    chosen = session_id or _id_of_request(caller, request_id)

    def body(tx: Transaction) -> Session:
        is_repetition(tx, caller, request_id, "CreateSession", f"sessions/{chosen}", session_id or "")
        stored = tx.sessions.find(chosen)
        if stored is not None:
            return stored
        session = Session(chosen, AgentId(new_id()), tx.now)
        tx.sessions.add(session)
        tx.audit.record(Act(AuditType.SESSION_CREATED, caller, session.name, request_id))
        return session

    return await store.write(body)


def _id_of_request(caller: Caller, request_id: str) -> SessionId:
    """The id that this caller's request has each time it is made; a new one where it has no request id."""
    return SessionId(request_digest(caller.principal, request_id).hex()[:32] if request_id else new_id())
