"""Who calls."""

from dataclasses import dataclass

from perdure_control_plane.domain.ids import ANONYMOUS, Principal
from perdure_control_plane.domain.roles import SCOPES, Role, Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal behind a request, and whether the server knows that it is. `peer` is the address that the call came
    from, `method` the RPC that was called."""

    principal: Principal
    authenticated: bool
    role: Role | None = None
    """None for whoever calls a server that runs open."""
    expires_at: int = 0
    """Until when what it has said who it is by is good, in microseconds since 1970; 0: until that is revoked."""
    peer: str = ""
    """The address it calls from, as gRPC has it: `ipv4:127.0.0.1:51234`."""
    method: str = ""
    """What it calls: `/perdure.v1.RunService/GetRun`."""

    @property
    def scopes(self) -> frozenset[Scope]:
        """What it may do: everything where the server runs open."""
        return frozenset(Scope) if self.role is None else SCOPES[self.role]


OPEN_CALLER = Caller(ANONYMOUS, authenticated=False)
"""Whoever calls a server that runs open."""
