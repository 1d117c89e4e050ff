"""Tokens of an identity provider: JSON Web Tokens that are signed by a key which the provider publishes."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, SecurityWarning
from joserfc.jwk import KeySet

from perdure_control_plane.domain.caller import Caller
from perdure_control_plane.domain.errors import CallerFault, Unauthenticated
from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.roles import Role

log = structlog.get_logger(__name__)

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
"""Only those by which nobody who can check a token can make one."""

LEEWAY_SECONDS: Final = 30
"""How far the clock of the provider may be from the server's."""

LATEST_SECONDS: Final = 253_402_300_799
"""The last second of the year 9999, after which no token may end."""

MOST_SIGNS: Final = 200
"""Of a subject."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Whose tokens are taken, and who has which role: the first of `roles` that the claim holds. `role_claim` may lead into
    a claim, with dots."""

    issuer: str
    audience: str
    role_claim: str
    roles: Mapping[str, Role]


class SigningKeys(Protocol):
    """Keys that the provider publishes."""

    async def get(self, *, newer: bool = False) -> KeySet:
        """Those that are known; `newer`: one is missing, so they are looked for again, unless that was just done."""


class BearerTokens:
    """Says who a token is of."""

    def __init__(self, rules: TokenRules, keys: SigningKeys, now: Callable[[], int]) -> None:
        """`now` gives seconds since 1970."""
        self._rules = rules
        self._keys = keys
        self._claims = jwt.JWTClaimsRegistry(
            now=now,
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "value": rules.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def check(self, text: str) -> Caller:
        """Who calls with a token. Raises Unauthenticated."""
        if text.count(".") != 2:
            raise Unauthenticated(CallerFault.UNREADABLE)
        try:
            try:
                claims = self._read(text, await self._keys.get())
            except InvalidKeyIdError:
                claims = self._read(text, await self._keys.get(newer=True))
        except ExpiredTokenError as error:
            raise Unauthenticated(CallerFault.EXPIRED) from error
        except Exception as error:
            # A stranger wrote it, and whatever reading it raises says that it is not to be taken.
            log.debug("token.refused", kind=type(error).__name__)
            raise Unauthenticated(CallerFault.UNKNOWN) from error
        role = self._role(claims)
        if role is None:
            raise Unauthenticated(CallerFault.UNMAPPED)
        expires_at = _expiry(claims["exp"])
        return Caller(_principal(claims["sub"]), authenticated=True, role=role, expires_at=expires_at)

    def _read(self, text: str, keys: KeySet) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of EdDSA, whose newer name few providers use yet
            claims = jwt.decode(text, keys, algorithms=ALGORITHMS).claims
        self._claims.validate(claims)
        return claims

    def _role(self, claims: dict[str, Any]) -> Role | None:
        found: Any = claims
        for word in self._rules.role_claim.split("."):
            found = found.get(word) if isinstance(found, dict) else None
        held = {value for value in (found if isinstance(found, list) else [found]) if isinstance(value, str)}
        return next((role for value, role in self._rules.roles.items() if value in held), None)


def _expiry(seconds: Any) -> int:
    if not isinstance(seconds, int | float) or not 0 < seconds <= LATEST_SECONDS:
        raise Unauthenticated(CallerFault.UNREADABLE)
    return int(seconds) * SECOND


def _principal(subject: Any) -> Principal:
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SIGNS or not subject.isprintable():
        raise Unauthenticated(CallerFault.UNREADABLE)
    return Principal(f"users/{subject}")
