"""Which certificates of callers stand for whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from perdure_control_plane.domain.ids import Principal
from perdure_control_plane.domain.roles import Role

SPIFFE: Final = "spiffe://"
_ANY: Final = "/*"


@dataclass(frozen=True, slots=True)
class CertificateRoles:
    """Roles by identity: a SPIFFE id, or the common name of a certificate that has none. An identity that ends in `/*`
    stands for all that begin so."""

    roles: Mapping[str, Role]

    def role_of(self, identity: str) -> Role | None:
        """The role of an identity; the longest that fits says it. None where none does."""
        exact = self.roles.get(identity)
        if exact is not None:
            return exact
        fitting = [known for known in self.roles if known.endswith(_ANY) and identity.startswith(known[:-1])]
        return self.roles[max(fitting, key=len)] if fitting else None


def certificate_principal(identity: str) -> Principal:
    """Who calls with a certificate."""
    return Principal(identity if identity.startswith(SPIFFE) else f"certificates/{identity}")
