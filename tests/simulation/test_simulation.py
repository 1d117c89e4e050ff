"""Many short lives of the whole system, each after a seed, with everything that can go wrong in it."""

import asyncio
import os
import re
import sys

import pytest

SEEDS = 300


async def simulated(*arguments: str, **environment: str) -> tuple[int, str]:
    """Plays seeds in a process of its own, for what is killed inside is not cleaned up; its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.simulation", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.timeout(600)
async def test_whatever_fails_whenever_it_fails_nothing_is_lost_and_nothing_is_done_twice() -> None:
    code, said = await simulated("--seeds", str(SEEDS), "--processes", "2", "--every-kind")

    assert code == 0, said


async def test_a_seed_is_played_in_the_same_steps_however_names_are_hashed() -> None:
    played = await asyncio.gather(*(simulated("--seed", "17", PYTHONHASHSEED=salt) for salt in ("1", "2")))

    (_, one), (_, other) = played
    assert re.search(r"^digest [0-9a-f]{64}$", one, re.MULTILINE)
    assert one == other
