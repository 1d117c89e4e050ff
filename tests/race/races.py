"""The races: who asks for what in the same moment, and which pairs of answers there may be.

Those who run against each other do so at different control planes.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.client import CallFailed
from perdure.v1.approvals_pb2 import Approval, DecideApprovalRequest
from perdure.v1.decisions_pb2 import DECISION_KIND_APPROVED, DECISION_KIND_REJECTED
from perdure.v1.flows_pb2 import CancelFlowRequest, Flow
from tests.race.house import House

OK: Final = "OK"
NO_RACE: Final = "(came too late to ask)"
"""A busy machine may take longer than people are given: nobody raced then."""
IN_PROGRESS: Final = "CONFLICT"
"""What whoever repeats a request while the first is under way may be told: ask again."""


@dataclass(slots=True)
class Gate:
    """A flow that waits for a decision, and who races for it."""

    house: House
    flow: Flow
    approval: Approval
    number: int
    chance: random.Random
    pace: "Pace"

    async def approve(self, person: str, at: int, request_id: str = "") -> str:
        """What a person is answered who approves at a control plane."""
        return await self._decide(person, at, DECISION_KIND_APPROVED, "", request_id)

    async def reject(self, person: str, at: int, request_id: str = "") -> str:
        """What a person is answered who rejects."""
        return await self._decide(person, at, DECISION_KIND_REJECTED, "no", request_id)

    async def cancel(self, at: int) -> str:
        """What the flow's starter is answered who cancels it."""
        return await _answer(self.house.doors["admin"][at].flows.CancelFlow(CancelFlowRequest(name=self.flow.name)))

    async def _decide(self, person: str, at: int, kind: Any, reason: str, request_id: str) -> str:
        request = DecideApprovalRequest(
            name=self.approval.name, token=self.approval.token, decision=kind, reason=reason, request_id=request_id
        )
        return await _answer(self.house.doors[person][at].approvals.DecideApproval(request))


async def _answer(call: Awaitable[Any]) -> str:
    try:
        await call
    except CallFailed as failed:
        return failed.reason or f"{failed.code.name}: {failed.message}"
    return OK


@dataclass(slots=True)
class Pace:
    """How much earlier or later one of two begins, in seconds: so that each of them wins often enough."""

    lead: float = 0.0
    spread: float = 0.006
    won: dict[str, int] = field(default_factory=dict)

    def wins(self, who: str, first: bool) -> None:
        """Notes who has won, and gives the other a little more time in the next round."""
        self.won[who] = self.won.get(who, 0) + 1
        self.lead += -0.002 if first else 0.002

    def draw(self, chance: random.Random) -> float:
        """By how much the first begins before the second; negative: after it."""
        return self.lead + chance.uniform(-self.spread, self.spread)


async def _both(
    gate: Gate, first: Callable[[], Awaitable[str]], second: Callable[[], Awaitable[str]]
) -> tuple[str, str]:
    ahead = gate.pace.draw(gate.chance)

    async def after(seconds: float, call: Callable[[], Awaitable[str]]) -> str:
        if seconds > 0:
            await asyncio.sleep(seconds)
        return await call()

    one, other = await asyncio.gather(after(-ahead, first), after(ahead, second))
    return one, other


async def two_reviewers(gate: Gate) -> tuple[str, str]:
    """Ada approves, Bob rejects."""
    return await _both(gate, lambda: gate.approve("ada", 0), lambda: gate.reject("bob", 1))


async def two_replicas(gate: Gate) -> tuple[str, str]:
    """Ada approves at the one control plane, and rejects at the other."""
    return await _both(gate, lambda: gate.approve("ada", 0), lambda: gate.reject("ada", 1))


async def timeout(gate: Gate) -> tuple[str, str]:
    """Ada approves in the moment in which her time is over."""
    return await _when_due(gate, lambda: gate.approve("ada", gate.number % 2)), "EXPIRES"


async def _when_due(gate: Gate, decide: Callable[[], Awaitable[str]]) -> str:
    if not gate.approval.token:
        return NO_RACE
    due = gate.approval.deadline_time.ToMicroseconds() / 1e6
    await asyncio.sleep(max(0.0, due - time.time() - gate.pace.draw(gate.chance)))
    return await decide()


async def going_on(gate: Gate) -> tuple[str, str]:
    """Ada rejects in the moment in which the run goes on without her."""
    return await _when_due(gate, lambda: gate.reject("ada", gate.number % 2)), "GOES ON"


async def escalation(gate: Gate) -> tuple[str, str]:
    """Ada approves in the moment in which others are asked as well."""
    return await _when_due(gate, lambda: gate.approve("ada", gate.number % 2)), "ESCALATES"


async def last_votes(gate: Gate) -> tuple[str, str]:
    """Cal has approved, one more is to, and both Ada and Bob do."""
    await gate.approve("cal", 0)
    return await _both(gate, lambda: gate.approve("ada", 0), lambda: gate.approve("bob", 1))


async def vote_and_rejection(gate: Gate) -> tuple[str, str]:
    """Cal has approved, Ada's approval would be enough, and Bob rejects."""
    await gate.approve("cal", 0)
    return await _both(gate, lambda: gate.approve("ada", 0), lambda: gate.reject("bob", 1))


async def cancel(gate: Gate) -> tuple[str, str]:
    """Ada approves, and the flow is cancelled."""
    return await _both(gate, lambda: gate.approve("ada", 0), lambda: gate.cancel(1))


async def same_request(gate: Gate) -> tuple[str, str]:
    """Ada's request arrives twice at once. Whoever is told that it is under way asks again."""

    async def ask(at: int) -> str:
        return await _until_done(lambda: gate.approve("ada", at, f"same-{gate.number}"))

    return await _both(gate, lambda: ask(0), lambda: ask(1))


async def other_body(gate: Gate) -> tuple[str, str]:
    """Two requests of Ada's arrive at once that have one id, and say different things."""

    async def ask(decide: Callable[[str, int, str], Awaitable[str]], at: int) -> str:
        return await _until_done(lambda: decide("ada", at, f"other-{gate.number}"))

    return await _both(gate, lambda: ask(gate.approve, 0), lambda: ask(gate.reject, 1))


async def _until_done(ask: Callable[[], Awaitable[str]]) -> str:
    """Asks until the answer is another than that the request is under way."""
    while True:
        answer = await ask()
        if answer != IN_PROGRESS:
            return answer


@dataclass(frozen=True, slots=True)
class Race:
    """One of them. `allowed` are the pairs of answers, with what then became of the approval."""

    run: Callable[[Gate], Awaitable[tuple[str, str]]]
    playbook: str
    allowed: dict[tuple[str, str], tuple[str, ...]]


APPROVED, REJECTED, EXPIRED, CLOSED = "approved", "rejected", "expired", "closed"
WENT_ON, ESCALATED = "went on by itself", "approved, when it was escalated"
LET_THROUGH: Final = (APPROVED, ESCALATED, WENT_ON)
_ONE_OF_TWO: Final = {(OK, "APPROVAL_DECIDED"): (APPROVED,), ("APPROVAL_DECIDED", OK): (REJECTED,)}

RACES: Final = {
    "two reviewers": Race(two_reviewers, "patient", _ONE_OF_TWO),
    "two replicas": Race(two_replicas, "patient", _ONE_OF_TWO),
    "a vote and a rejection": Race(vote_and_rejection, "several", _ONE_OF_TWO),
    "the last vote, twice": Race(
        last_votes, "several", {(OK, "APPROVAL_DECIDED"): (APPROVED,), ("APPROVAL_DECIDED", OK): (APPROVED,)}
    ),
    "a reviewer and a run that goes on": Race(
        going_on,
        "goes-on",
        {
            (OK, "GOES ON"): (REJECTED,),
            ("APPROVAL_DECIDED", "GOES ON"): (WENT_ON,),
            (NO_RACE, "GOES ON"): (WENT_ON,),
        },
    ),
    "a reviewer and an escalation": Race(
        escalation, "climbs", {(OK, "ESCALATES"): (APPROVED, ESCALATED), (NO_RACE, "ESCALATES"): ()}
    ),
    "a reviewer and the timeout": Race(
        timeout,
        "hurried",
        {
            (OK, "EXPIRES"): (APPROVED,),
            ("APPROVAL_CLOSED", "EXPIRES"): (EXPIRED,),
            (NO_RACE, "EXPIRES"): (EXPIRED,),
        },
    ),
    "a reviewer and a cancel": Race(cancel, "patient", {(OK, OK): (APPROVED,), ("APPROVAL_CLOSED", OK): (CLOSED,)}),
    "the same request twice": Race(same_request, "patient", {(OK, OK): (APPROVED,)}),
    "one request id, two bodies": Race(
        other_body, "patient", {(OK, "REQUEST_ID_REUSED"): (APPROVED,), ("REQUEST_ID_REUSED", OK): (REJECTED,)}
    ),
}
