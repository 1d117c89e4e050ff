"""Who calls."""

from dataclasses import dataclass

from perdure_control_plane.domain.ids import ANONYMOUS, Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal behind a request, and whether the server knows that it is. `peer` is the address that the call came
    from, `method` the RPC that was called."""

    principal: Principal
    authenticated: bool
    peer: str = ""
    method: str = ""


OPEN_CALLER = Caller(ANONYMOUS, authenticated=False)
"""Whoever calls a server that runs open."""
