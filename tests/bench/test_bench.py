"""The benchmark itself: what each case gives, on a workload that is too small to measure anything."""

import asyncio
import json
import pathlib
import sys
from typing import Any

import pytest

KEYS = {"store", "case", "name", "value", "unit", "ceiling", "ratio"}
LATENCY = {"p50", "p99"}
THROUGHPUT = {"nodes", "completed runs"}
FIGURES = {
    "sqlite": {
        "strict-1": THROUGHPUT,
        "start": LATENCY,
        "takeover": LATENCY,
        "paused": {"runs", "memory", "to list all", "to wake all"},
    },
    "postgresql": {"pipelined-1": THROUGHPUT, "decision": LATENCY, "watch-1": {"events to watchers"}},
}
"""What each case gives; every case on one of the stores."""


async def bench(tmp_path: pathlib.Path, *flags: str) -> tuple[int | None, list[dict[str, Any]], str]:
    """Runs the benchmark at a size that takes seconds; its exit code, its figures, and what it printed."""
    output = tmp_path / "bench.json"
    small = ("--rounds", "1", "--scale", "0.02", "--paused", "3", "--output", str(output))
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench", *small, *flags, stdout=pipe, stderr=pipe
    )
    out, err = await program.communicate()
    figures = json.loads(output.read_text()) if output.exists() else []
    return program.returncode, figures, out.decode() + err.decode()


@pytest.mark.parametrize("store", FIGURES)
async def test_each_case_gives_its_figures_and_a_table(tmp_path: pathlib.Path, store: str) -> None:
    code, figures, said = await bench(tmp_path, "--store", store, "--cases", ",".join(FIGURES[store]))

    assert code == 0, said
    assert {case: {f["name"] for f in figures if f["case"] == case} for case in FIGURES[store]} == FIGURES[store]
    for figure in figures:
        assert (set(figure), figure["store"]) == (KEYS, store)
        assert figure["value"] > 0
        assert f"{figure['value']:,}" in said
    (nodes,) = (figure for figure in figures if figure["name"] == "nodes")
    assert abs(nodes["ratio"] - nodes["value"] / nodes["ceiling"]) < 0.01


async def test_a_case_that_there_is_not_is_named_with_those_there_are(tmp_path: pathlib.Path) -> None:
    code, _, said = await bench(tmp_path, "--store", "sqlite", "--cases", "speed")

    assert code == 1
    assert "speed: no such case; there are strict-1" in said


async def test_a_postgresql_that_is_not_there_is_answered_with_what_to_set(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_TEST_POSTGRES", "postgresql://nobody@127.0.0.1:1/nothing")

    code, _, said = await bench(tmp_path, "--store", "postgresql", "--cases", "start")

    assert code == 1
    assert "set PERDURE_TEST_POSTGRES=postgresql://" in said
