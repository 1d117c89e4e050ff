"""Finds out who makes a call, from what the call says of itself."""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from perdure_control_plane.api.bearer_tokens import BearerTokens
from perdure_control_plane.domain.api_key import PREFIX
from perdure_control_plane.domain.caller import OPEN_CALLER, Caller
from perdure_control_plane.domain.certificates import SPIFFE, CertificateRoles, certificate_principal
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
    certificates: CertificateRoles | None = None
    """Who those are that show a certificate and give no key; None where no certificate is asked for."""
    tokens: BearerTokens | None = None
    """Who checks tokens of an identity provider; None where none are taken."""
    embedded_key: str = field(default="", repr=False)
    """What the executor in the same process says; never kept anywhere. Empty where there is none."""

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked."""
        return self.keys is None

    async def admit(self, context: Any) -> Caller:
        """Who makes a call. Raises Unauthenticated, StoreUnavailable."""
        if self.keys is None:
            return OPEN_CALLER
        identity = _identity_in(context) if self.certificates is not None else ""
        given = [str(value) for name, value in context.invocation_metadata() or () if name == _METADATA]
        if self.certificates is not None and identity and not given:
            return _shown(self.certificates, identity)
        return await self._known(self.keys, _key_in(given))

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
        if self.tokens is not None and not text.startswith(f"{PREFIX}_"):
            return await self.tokens.check(text)
        key = await keys.check(text)
        return Caller(Principal(key.name), authenticated=True, role=key.role, expires_at=key.expires_at)


OPEN: Final = Doorkeeper()
"""Of a server that runs open."""


def _shown(certificates: CertificateRoles, identity: str) -> Caller:
    role = certificates.role_of(identity)
    if role is None:
        raise Unauthenticated(CallerFault.UNMAPPED)
    return Caller(certificate_principal(identity), authenticated=True, role=role)


def _identity_in(context: Any) -> str:
    """The SPIFFE id of the certificate that the caller has shown, else its common name; empty where it has shown none."""
    shown = context.auth_context()
    spiffe_ids, names = shown.get("peer_spiffe_id", ()), shown.get("x509_common_name", ())
    if len(spiffe_ids) == 1:
        return str(spiffe_ids[0].decode("utf-8", "replace"))
    name = names[0].decode("utf-8", "replace") if len(names) == 1 else ""
    # What an authority writes into a name does not stand for a SPIFFE id, which it vouches for otherwise.
    return "" if name.startswith(SPIFFE) else str(name)


def _key_in(given: Sequence[str]) -> str:
    """What a call gives as a key. Raises Unauthenticated."""
    if not given:
        raise Unauthenticated(CallerFault.MISSING)
    if len(given) > 1 or not given[0].lower().startswith(_SCHEME):
        raise Unauthenticated(CallerFault.UNREADABLE)
    return given[0][len(_SCHEME) :].strip()
