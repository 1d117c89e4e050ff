"""Rounds of races: each at a gate of its own, some of them at once."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from perdure.v1.approvals_pb2 import GetApprovalRequest, ListApprovalsRequest
from perdure.v1.flows_pb2 import StartFlowRequest
from tests.race.house import SESSION, House
from tests.race.races import RACES, Gate, Pace
from tests.race.verdict import Left, became, faults, look

AT_ONCE: Final = 8
"""Rounds that are under way together, so that control planes and database have more to do than the two of one race."""
_ASKED: Final = "wait_opened"


@dataclass(slots=True)
class Result:
    """What the rounds of one race came to."""

    rounds: int = 0
    winners: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


async def run_races(
    house: House, rounds: int, seed: int, only: list[str], said: Callable[[str], None]
) -> dict[str, Result]:
    """Runs every race so often, or those named."""
    results = {}
    for name in only or RACES:
        results[name] = await _run(house, name, rounds, seed)
        won = ", ".join(f"{winner} {count}" for winner, count in sorted(results[name].winners.items()))
        said(f"{name}: {results[name].rounds} rounds, {won}; {len(results[name].faults)} faults")
    return results


async def _run(house: House, name: str, rounds: int, seed: int) -> Result:
    result, pace, places = Result(), Pace(), asyncio.Semaphore(AT_ONCE)
    left: list[Left] = []

    async def one(number: int) -> None:
        async with places:
            left.append(await run_round(house, name, number, seed, pace))

    await asyncio.gather(*map(one, range(rounds)))
    launches = house.launches()
    for seen in left:
        result.rounds += 1
        result.winners[became(seen)] += 1
        result.answers[seen.answers] += 1
        wrong = faults(RACES[name], seen, launches)
        result.faults += [f"{name}: {seen.run.name}, {seen.approval.name}: {words}" for words in wrong]
    result.faults += [f"{name}: {words}" for words in house.servers.faults()]
    return result


async def run_round(house: House, name: str, number: int, seed: int, pace: Pace | None = None) -> Left:
    """One round of a race: a flow is started, its gate is raced for, and what is left is gathered at its end."""
    race, pace, chance = RACES[name], pace or Pace(), random.Random(f"{seed}/{name}/{number}")
    version, key = house.versions[race.playbook], f"{name.replace(' ', '-').replace(',', '')}-{number}"
    request = StartFlowRequest(
        playbook_version=version.name, digest=version.digest, session=f"sessions/{SESSION}", idempotency_key=key
    )
    flow = await house.doors["admin"][number % 2].flows.StartFlow(request)
    approval = await _asked(house, flow.root_run)
    shown = await house.doors["ada"][0].approvals.GetApproval(GetApprovalRequest(name=approval))
    gate = Gate(house, flow, shown, number, chance, pace)
    answers = await race.run(gate)
    async for _ in house.admin.watch_run(flow.root_run):
        pass  # until it has ended
    seen = await look(house.admin, approval, flow.root_run, answers)
    pace.wins(became(seen), seen.answers[0] == "OK")
    return seen


async def _asked(house: House, run: str) -> str:
    """The name of the approval that a run asks for, when it is open."""
    async for recorded in house.admin.watch_run(run):
        if recorded.event.WhichOneof("kind") == _ASKED:
            (approval,) = (await house.admin.approvals.ListApprovals(ListApprovalsRequest(run=run))).approvals
            return approval.name
    raise AssertionError(f"{run} has ended without asking anybody")
