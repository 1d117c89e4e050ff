"""Checks a chain, event by event: whether any was changed, dropped, put elsewhere or added, and whether its end is there."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from perdure.audit.chain import NOTHING, SealedEvent, SignedHead, hash_of

MOST_FAULTS: Final = 100
"""Faults that are named; of a chain that has more, all that matters is where they begin."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong, and the position it is wrong at."""

    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What somebody has kept of the chain as it was: a position and its hash."""

    position: int
    hash: bytes


@dataclass(slots=True)
class ChainChecker:
    """Takes events in the order they are given in, each signed head after the event that it is of.

    A chain whose beginning was pruned begins with the signed head of what was before. `public_keys` are those that heads may
    be signed with; any, where none is given. `is_signed` tells whether a signature is good.
    """

    is_signed: Callable[[SignedHead], bool]
    public_keys: Collection[bytes] = ()
    remembered: Remembered | None = None
    events: int = 0
    first: int = 0
    """Position that it begins at; 0 where there is none."""
    heads: int = 0
    signed: int = 0
    """Position of the last head whose signature is good."""
    faults: list[Fault] = field(default_factory=list)
    seen_keys: set[bytes] = field(default_factory=set)
    _position: int = 0
    _hash: bytes = NOTHING

    @property
    def position(self) -> int:
        """The last position that was taken."""
        return self._position

    @property
    def hash(self) -> bytes:
        """The hash there."""
        return self._hash

    def take(self, sealed: SealedEvent) -> None:
        """Takes the next event."""
        expected = self._position + 1
        changed = sealed.hash != hash_of(sealed.event, sealed.position, sealed.previous_hash)
        if changed:
            self._fault(sealed.position, "it was changed: its hash is not that of what it says")
        if sealed.position > expected:
            missing = f"{expected} to {sealed.position - 1} are" if sealed.position > expected + 1 else f"{expected} is"
            self._fault(expected, f"position {missing} missing")
        elif sealed.position < expected:
            self._fault(sealed.position, f"it stands behind position {self._position}, where it does not belong")
        elif sealed.previous_hash != self._hash and not changed:
            where = max(self._position, 1)
            self._fault(
                where, f"it is not what position {sealed.position} was sealed upon: it was changed or put in place"
            )
        self.events, self.first = self.events + 1, self.first or sealed.position
        self._position, self._hash = sealed.position, sealed.hash
        self._compare_remembered()

    def take_head(self, head: SignedHead) -> None:
        """Takes a signed head."""
        self.heads += 1
        self.seen_keys.add(head.public_key)
        if not self.is_signed(head):
            self._fault(head.position, "the signature of the head there is not good")
            return
        if self.public_keys and head.public_key not in self.public_keys:
            self._fault(head.position, f"the head there is signed with another key, {head.public_key.hex()}")
            return
        if not self.events and not self._position:
            self._position, self._hash = head.position, head.hash  # what was up to there is pruned
            self._compare_remembered()
        elif head.position > self._position:
            self._fault(self._position + 1, f"it is missing, as is all up to {head.position}, where a signed head is")
        elif head.position == self._position and head.hash != self._hash:
            self._fault(head.position, "the head that was signed there is another: the chain up to it was made anew")
        self.signed = max(self.signed, head.position)

    def finish(self, position: int | None = None, hash: bytes = b"") -> None:
        """Compares the end with what it is said to be, and with what is remembered."""
        if position is not None and position > self._position:
            self._fault(self._position + 1, f"it is missing, as is all up to {position}, where the chain ends")
        elif position is not None and (position, hash) != (self._position, self._hash):
            self._fault(max(position, 1), "the chain ends there, and not as its last event does")
        known = self.remembered
        if known is not None and known.position > self._position:
            self._fault(self._position + 1, f"it is missing, as is all up to {known.position}, which is remembered")

    @property
    def remembers_too_early(self) -> bool:
        """Whether what is remembered was pruned, so that nothing can be compared with it."""
        return self.remembered is not None and self.remembered.position < self.first - 1

    @property
    def first_fault(self) -> Fault | None:
        """The fault at the lowest position."""
        return min(self.faults, key=lambda fault: fault.position, default=None)

    def _compare_remembered(self) -> None:
        known = self.remembered
        if known is not None and known.position == self._position and known.hash != self._hash:
            self._fault(known.position, "its hash is not the one that is remembered: the chain up to it was made anew")

    def _fault(self, position: int, message: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(position, message))
