"""How long anything may go on: the lease, counted from the sending of the last heartbeat that was acknowledged."""

import asyncio
from dataclasses import dataclass
from typing import Final

from perdure_executor.host import THIS_HOST, Host

MARGIN_PART = 0.1
"""Part of a lease that must be left when an effect that may not be repeated is begun."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What the server grants, in seconds."""

    lease: float
    heartbeat_interval: float
    stall_allowance: float


class LeaseKeeper:
    """Keeps the lease of this process. Every question reads the clock; no timer is trusted."""

    def __init__(self, host: Host = THIS_HOST) -> None:
        self.seconds: Final = host.seconds
        self._terms = LeaseTerms(0.0, 1.0, 0.0)
        self._sent: dict[int, float] = {}
        self._number = 0
        self._held_from = float("-inf")
        self._renewed = asyncio.Event()

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between heartbeats."""
        return self._terms.heartbeat_interval

    @property
    def lease_end(self) -> float:
        """When nothing may be begun or sent any more, on this host's clock."""
        return self._held_from + self._terms.lease

    @property
    def work_end(self) -> float:
        """When what runs must be ended, on this host's clock."""
        return self.lease_end + self._terms.stall_allowance

    def welcome(self, terms: LeaseTerms, said_hello_at: float) -> None:
        """Begins a stream: a hello that was answered renews like a heartbeat."""
        self._terms = terms
        self._sent.clear()
        self._number = 0
        self._renew(said_hello_at)

    def beat(self) -> int:
        """The number of a heartbeat that is sent now."""
        self._number += 1
        self._sent[self._number] = self.seconds()
        return self._number

    def acknowledged(self, number: int) -> None:
        """The renewal by that heartbeat is committed."""
        sent = self._sent.get(number)
        if sent is not None:
            self._renew(sent)
            for older in [other for other in self._sent if other <= number]:
                del self._sent[older]

    def _renew(self, held_from: float) -> None:
        self._held_from = max(self._held_from, held_from)
        self._renewed.set()
        self._renewed = asyncio.Event()

    async def renewed(self) -> None:
        """Returns at the next renewal."""
        await self._renewed.wait()

    def may_begin(self) -> bool:
        """Whether an effect that may not be repeated may be begun now."""
        return self.seconds() < self.lease_end - MARGIN_PART * self._terms.lease

    def may_send(self) -> bool:
        """Whether anything may be begun or appended now."""
        return self.seconds() < self.lease_end
