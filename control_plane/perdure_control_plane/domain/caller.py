"""Who calls."""

from dataclasses import dataclass

from perdure_control_plane.domain.ids import ANONYMOUS, Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal behind a request, and whether the server knows that it is."""

    principal: Principal
    authenticated: bool


OPEN_CALLER = Caller(ANONYMOUS, authenticated=False)
"""Whoever calls a server that runs open."""
