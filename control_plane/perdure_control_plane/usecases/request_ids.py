"""Request ids: a repetition of a request finds what the first one did, and does nothing."""

from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import RequestIdReused
from perdure_control_plane.domain.request import UsedRequest, request_digest
from perdure_control_plane.usecases.ports import Transaction


def is_repetition(
    tx: Transaction, caller: Caller, request_id: str, method: str, resource: str, *content: object
) -> bool:
    """Whether the caller has made this very request before; notes it otherwise. Always False without an id.

    Raises RequestIdReused where the id was used for anything else.
    """
    if not request_id:
        return False
    asked = UsedRequest(method, request_digest(*content), resource)
    used = tx.requests.find(caller.principal, request_id)
    if used is None:
        tx.requests.add(caller.principal, request_id, asked)
        return False
    if used != asked:
        raise RequestIdReused("request_id", request_id)
    return True
