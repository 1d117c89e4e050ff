"""Finds out who makes a call, from what the call says of itself."""

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.errors import CallerFault, StoreUnavailable, Unauthenticated
from perdure_control_plane.domain.ids import ANONYMOUS, Principal
from perdure_control_plane.domain.roles import Role
from perdure_control_plane.usecases.known_keys import KNOWN_SECONDS, KnownKeys

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = KNOWN_SECONDS
"""How often it is looked whether the caller of a stream may still do what it does."""

_METADATA: Final = "authorization"
_SCHEME: Final = "bearer "

STRANGER: Final = Caller(ANONYMOUS, authenticated=False)
"""Whoever has not said yet who it is."""

EMBEDDED: Final = Principal("system/executor")
"""The executor that is one process with its control plane."""


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Asks callers who they are, or lets everybody in where there are no keys to ask for."""

    keys: KnownKeys | None = None
    """None where the server runs open."""
    embedded_key: str = field(default="", repr=False)
    """What the executor in the same process says; never kept anywhere. Empty where there is none."""

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked."""
        return self.keys is None

    async def admit(self, context: Any) -> Caller:
        """Who makes a call. Raises Unauthenticated, StoreUnavailable."""
        return OPEN_CALLER if self.keys is None else await self._known(self.keys, _key_in(context))

    async def void(self, context: Any) -> Unauthenticated:
        """Waits until the caller of a stream is good no longer, and returns why."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                await self.admit(context)
            except StoreUnavailable as error:  # nobody can be asked now, and nothing says that it is not good
                log.warning("caller.not_looked_at", reason=str(error))
            except Unauthenticated as error:
                return error

    async def _known(self, keys: KnownKeys, text: str) -> Caller:
        if self.embedded_key and hmac.compare_digest(self.embedded_key.encode(), text.encode()):
            return Caller(EMBEDDED, authenticated=True, role=Role.EXECUTOR)
        key = await keys.check(text)
        return Caller(Principal(key.name), authenticated=True, role=key.role, expires_at=key.expires_at)


OPEN: Final = Doorkeeper()
"""Of a server that runs open."""


def _key_in(context: Any) -> str:
    """What a call gives as a key. Raises Unauthenticated."""
    given = [str(value) for name, value in context.invocation_metadata() or () if name == _METADATA]
    if not given:
        raise Unauthenticated(CallerFault.MISSING)
    if len(given) > 1 or not given[0].lower().startswith(_SCHEME):
        raise Unauthenticated(CallerFault.UNREADABLE)
    return given[0][len(_SCHEME) :].strip()
