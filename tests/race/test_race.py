"""A few rounds of each race, and that a race which did not end as it should would be seen."""

import asyncio
import copy
import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.postgres import PostgresServer
from tests.race.house import house
from tests.race.races import RACES
from tests.race.run import run_races, run_round
from tests.race.verdict import Left, faults

ROUNDS = 4
SEED = 17


@pytest.mark.timeout(300)
def test_whoever_races_for_a_decision_one_wins_and_nothing_is_done_twice(
    postgres: PostgresServer, tmp_path: pathlib.Path
) -> None:
    async def raced() -> tuple[Any, Left, "Counter[str]"]:
        database = await postgres.make_empty()
        async with house(tmp_path, database.render_as_string(hide_password=False)) as opened:
            results = await run_races(opened, ROUNDS, SEED, [], lambda line: None)
            left = await run_round(opened, "two reviewers", ROUNDS, SEED)
            launches = opened.launches()
        await postgres.drop(database)
        return results, left, launches

    results, left, launches = asyncio.run(raced())

    assert [fault for result in results.values() for fault in result.faults] == []
    assert {name: result.rounds for name, result in results.items()} == dict.fromkeys(RACES, ROUNDS)
    for bend, word in BENDS:
        bent = bend(copy.deepcopy(left), launches)
        assert any(word in fault for fault in faults(RACES["two reviewers"], *bent)), word


Bent = tuple[Left, "Counter[str]"]


def _both_won(left: Left, launches: "Counter[str]") -> Bent:
    return dataclasses.replace(left, answers=("OK", "OK")), launches


def _decided_twice(left: Left, launches: "Counter[str]") -> Bent:
    decisions = [recorded for recorded in left.log if recorded.event.fact_recorded.HasField("decision")]
    return dataclasses.replace(left, log=[*left.log, *decisions]), launches


def _written_down_twice(left: Left, launches: "Counter[str]") -> Bent:
    return dataclasses.replace(left, audited=left.audited * 2), launches


def _not_written_down(left: Left, launches: "Counter[str]") -> Bent:
    return dataclasses.replace(left, audited=[]), launches


def _done_twice(left: Left, launches: "Counter[str]") -> Bent:
    return left, Counter({left.run.name.removeprefix("runs/"): 2})


def _another_end(left: Left, launches: "Counter[str]") -> Bent:
    left.run.state = type(left.run)(state="RUN_STATE_EXPIRED").state
    return left, launches


BENDS: list[tuple[Callable[[Left, "Counter[str]"], Bent], str]] = [
    (_both_won, "the answers were"),
    (_decided_twice, "the log has"),
    (_written_down_twice, "the trail has ["),
    (_not_written_down, "the trail has []"),
    (_done_twice, "was done 2 times"),
    (_another_end, "the run is EXPIRED"),
]
