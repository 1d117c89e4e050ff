"""The benchmark itself: what it writes, on a workload that is too small to measure anything."""

import asyncio
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent


async def test_the_benchmark_writes_its_figures_and_prints_a_table(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "bench.json"
    flags = ("--rounds", "1", "--scale", "0.02", "--inflight", "1", "--output", output)
    program = await asyncio.create_subprocess_exec(
        sys.executable, HERE, *flags, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await program.communicate()

    assert program.returncode == 0, err.decode()
    figures = json.loads(output.read_text())
    assert [(figure["case"], figure["mode"], figure["inflight"]) for figure in figures] == [
        ("nodes", "strict", 1),
        ("nodes", "pipelined", 1),
    ]
    for figure in figures:
        assert set(figure) == {"store", "case", "mode", "inflight", "value", "unit", "ceiling", "ratio"}
        assert figure["value"] > 0
        assert abs(figure["ratio"] - figure["value"] / figure["ceiling"]) < 0.01
        assert f"{figure['value']:,}" in out.decode()
