"""Settings of a control plane about its callers: whether and how they are known, and how much each may ask for."""

import pathlib
import urllib.parse
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from perdure_control_plane.domain.certificates import CertificateRoles
from perdure_control_plane.domain.roles import Role

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def split(value: Any) -> Any:
    """The words in a text with commas between them; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
"""A list; in the environment, words with commas between them."""


def _key_source(source: str) -> str:
    address = urllib.parse.urlsplit(source)
    if (
        "://" in source
        and address.scheme != "https"
        and not (address.scheme == "http" and address.hostname in LOOPBACK)
    ):
        raise ValueError(f"{source!r} is not https, and whoever is on the way could put other keys in their place")
    return source


def _roles(words: tuple[str, ...]) -> dict[str, Role]:
    parted = (word.rpartition("=") for word in words)
    return {identity: Role(role.upper()) for identity, _, role in parted}


def _identities(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        identity, _, role = word.rpartition("=")
        roles = [known.value.lower() for known in Role]
        if not identity or role not in roles:
            known = ", ".join(roles)
            raise ValueError(f"{word!r} is not IDENTITY=ROLE, such as spiffe://site/work/*=executor; roles are {known}")
    return words


class IdentitySettings(BaseModel):
    """Who may call, and how they are known."""

    authentication: Literal["none", "required"] = "none"
    tls_certificate: pathlib.Path | None = None
    tls_key: pathlib.Path | None = None
    tls_client_ca: pathlib.Path | None = None
    tls_client_roles: Annotated[Words, AfterValidator(_identities)] = ()
    tls_in_front: bool = False
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_keys: Annotated[str, AfterValidator(_key_source)] = ""
    jwt_role_claim: str = "roles"
    jwt_roles: Annotated[Words, AfterValidator(_identities)] = ()
    max_calls_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    max_streams: Annotated[int, Field(ge=0)] = 0

    @property
    def certificate_roles(self) -> CertificateRoles | None:
        """Roles of those who show a certificate; None where none is asked for."""
        return CertificateRoles(_roles(self.tls_client_roles)) if self.tls_client_ca is not None else None

    @property
    def jwt_role_table(self) -> dict[str, Role]:
        """Roles of those who give a token, by what its claim holds, the first that fits first."""
        return _roles(self.jwt_roles)

    def fault(self, beside_loopback: str) -> str:
        """What of these does not go together; empty where all does. `beside_loopback` is the address, where it is such."""
        return self._fault_of_tls() or self._fault_of_jwt() or self._fault_of_reach(beside_loopback)

    def _fault_of_tls(self) -> str:
        needed = (
            ("tls_key", self.tls_key, "tls_certificate", self.tls_certificate),
            ("tls_certificate", self.tls_certificate, "tls_key", self.tls_key),
            ("tls_certificate", self.tls_certificate, "tls_client_ca", self.tls_client_ca),
            ("tls_client_ca", self.tls_client_ca, "tls_client_roles", self.tls_client_roles or None),
        )
        for name, value, other, needs in needed:
            if needs is not None and value is None:
                return f"{name}: is needed with {other}"
        if self.tls_client_ca is not None and self.authentication != "required":
            return "authentication: must be required with tls_client_ca"
        return ""

    def _fault_of_jwt(self) -> str:
        together = {
            "jwt_issuer": self.jwt_issuer,
            "jwt_audience": self.jwt_audience,
            "jwt_keys": self.jwt_keys,
            "jwt_roles": self.jwt_roles,
        }
        given = [name for name, value in together.items() if value]
        for name, value in together.items():
            if given and not value:
                return f"{name}: is needed with {given[0]}"
        if given and self.authentication != "required":
            return f"authentication: must be required with {given[0]}"
        return ""

    def _fault_of_reach(self, host: str) -> str:
        if not host:
            return ""
        if self.authentication != "required":
            reason = "whoever reaches it could do everything; set authentication = required"
            return f"host: {host} is not loopback, and {reason}, or use 127.0.0.1"
        if self.tls_certificate is None and not self.tls_in_front:
            reason = "keys would be sent to it in plain text; set tls_certificate and tls_key, or tls_in_front"
            return f"host: {host} is not loopback, and {reason} where something in front encrypts"
        return ""
