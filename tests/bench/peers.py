"""The same ten nodes on DBOS and LangGraph, each in the way its documentation recommends and with as many at once as does it
best, on the server that is measured. They are installed into an environment of their own below `build/`."""

import asyncio
import pathlib
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from tests.bench.figures import Figure
from tests.bench.target import Stores

PROGRAMS: Final = pathlib.Path(__file__).with_name("peer_programs")
REQUIREMENTS: Final = PROGRAMS / "requirements.txt"
PEERS: Final = {
    ("DBOS", "dbos_steps.py"): {"1 in flight": (1, 1), "best": (2, 4)},
    ("LangGraph", "langgraph_steps.py"): {"1 in flight": (1, 1), "best": (2, 8)},
}
"""For each peer, how many processes with how many workflows at once."""


@dataclass(frozen=True)
class Peers:
    """Every peer for so many seconds, each way."""

    seconds: float
    name: str = "peers"

    async def measure(self, store: str, stores: Stores, directory: pathlib.Path) -> list[Figure]:
        """One round."""
        python = _environment(stores.work / "bench-peers")
        figures = []
        for (peer, program), ways in PEERS.items():
            for way, (processes, at_once) in ways.items():
                steps = await self._steps(stores, [str(python), str(PROGRAMS / program)], processes, at_once)
                figures.append(Figure(store, self.name, f"{peer}, {way}", steps, "nodes/s"))
        return figures

    async def _steps(self, stores: Stores, program: list[str], processes: int, at_once: int) -> float:
        assert stores.postgres is not None
        url = await stores.postgres.make_empty()
        arguments = [*program, url.render_as_string(hide_password=False)]
        try:
            # The first one makes the tables: several at once would be in each other's way.
            await _run([*arguments, "1", "0.1"])
            rates = [_run([*arguments, str(at_once), str(self.seconds)]) for _ in range(processes)]
            return sum(await asyncio.gather(*rates))
        finally:
            await stores.postgres.drop(url)


async def _run(arguments: list[str]) -> float:
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*arguments, stdout=pipe, stderr=pipe)
    out, err = await program.communicate()
    if program.returncode:
        raise SystemExit(f"{arguments[1]} failed:\n{err.decode()[-2000:]}")
    return float(out.split()[-1])


def _environment(directory: pathlib.Path) -> pathlib.Path:
    """The interpreter of the peers' environment, which is made where it is not there or not what it should be."""
    python, installed = directory / "bin" / "python", directory / "requirements.txt"
    if not installed.exists() or installed.read_text() != REQUIREMENTS.read_text():
        print("installing DBOS and LangGraph beside the project", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)  # our own words
        install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", REQUIREMENTS]
        subprocess.run(install, check=True)
        installed.write_text(REQUIREMENTS.read_text())
    return python
