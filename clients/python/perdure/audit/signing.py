"""Signatures of heads, by Ed25519. Needs `cryptography`, which `perdure[cli]` and `perdure-server` bring along."""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from perdure.audit.chain import SignedHead, signed_content


@dataclass(frozen=True, slots=True)
class HeadKey:
    """A private key, made of 32 bytes."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError where the bytes are no key."""
        Ed25519PrivateKey.from_private_bytes(self.secret)

    @property
    def public_key(self) -> bytes:
        """What its signatures are checked with, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, position: int, hash: bytes, at: int) -> SignedHead:
        """Signs how far the chain is at a time."""
        return SignedHead(position, hash, at, self.public_key, self._key.sign(signed_content(position, hash, at)))

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret)


def is_signed(head: SignedHead) -> bool:
    """Whether the signature of a head is good under the key that it names."""
    try:
        key = Ed25519PublicKey.from_public_bytes(head.public_key)
        key.verify(head.signature, signed_content(head.position, head.hash, head.signed_at))
    except (InvalidSignature, ValueError):
        return False
    return True
