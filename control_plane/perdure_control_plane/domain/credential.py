"""Which secrets there are and how old they are; never what they are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Purpose(StrEnum):
    """What a secret of a server is for."""

    APPROVAL_TOKENS = "APPROVAL_TOKENS"
    PAGE_TOKENS = "PAGE_TOKENS"
    CALLER_KEYS = "CALLER_KEYS"
    AUDIT_HEADS = "AUDIT_HEADS"
    DATABASE = "DATABASE"
    WEBHOOK = "WEBHOOK"


@dataclass(frozen=True, slots=True)
class ServerCredential:
    """A secret of a server. `written_at` is when its file was last written, in microseconds since 1970; 0: in none."""

    purpose: Purpose
    key_id: str
    is_present: bool
    is_current: bool
    written_at: int


@dataclass(frozen=True, slots=True)
class ProviderCredential:
    """How many executors have what a provider needs, and how many have not."""

    provider: str
    executors: int
    executors_without: int


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """How many keys of callers there are. Times are in microseconds since 1970, and 0 is never."""

    live: int
    expired: int
    revoked: int
    oldest_at: int
    next_expiry_at: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that is known of secrets."""

    server: Sequence[ServerCredential]
    providers: Sequence[ProviderCredential]
    keys: KeyCounts


def providers_of(executors: Sequence[Sequence[str]]) -> list[ProviderCredential]:
    """What executors have, each given by its providers, by provider."""
    having = Counter(provider for providers in executors for provider in set(providers))
    return [ProviderCredential(name, count, len(executors) - count) for name, count in sorted(having.items())]
