"""What is measured: a store with nothing in it, a control plane on it, and executors; each a program of its own."""

import asyncio
import contextlib
import json
import os
import pathlib
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from perdure.client import Client
from tests.postgres import PostgresServer

FUNCTIONS: Final = pathlib.Path(__file__).with_name("functions.py")
PROGRAM: Final = pathlib.Path(sys.executable).parent / "perdure-server"
CORES: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Stores:
    """Where measurements keep their data. `postgres` is there where PostgreSQL is measured."""

    work: pathlib.Path
    postgres: PostgresServer | None = None


class Target:
    """A store with its control plane. `perdure` calls it."""

    def __init__(
        self, directory: pathlib.Path, database: str, server: asyncio.subprocess.Process, address: str
    ) -> None:
        self.directory: Final = directory
        self.database: Final = database
        self.server: Final = server
        self.address: Final = address
        self.perdure: Final = Client(address)

    async def rows(self, query: str) -> list[Any]:
        """What a query gives, asked of the database itself."""
        if self.database:
            connection = await asyncpg.connect(self.database)
            try:
                return list(await connection.fetch(query))
            finally:
                await connection.close()
        with contextlib.closing(sqlite3.connect(self.directory / "perdure.db")) as connection:
            return connection.execute(query).fetchall()

    def executor(self, slots: int, **environment: str) -> "contextlib.AbstractAsyncContextManager[Any]":
        """Starts an executor; it ends with the context."""
        flags = ["--server", self.address, "--slots", str(slots), "--functions", str(FUNCTIONS)]
        return _program(["executor", *flags], environment)

    def memory(self) -> float:
        """Resident memory of the control plane, in MiB."""
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        (kilobytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        return int(kilobytes) / 1024


def cpu_seconds(process: asyncio.subprocess.Process) -> float:
    """Processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CORES


@asynccontextmanager
async def target(store: str, stores: Stores, directory: pathlib.Path, *flags: str) -> AsyncIterator[Target]:
    """A control plane on an empty store; `flags` are its own."""
    async with AsyncExitStack() as stack:
        database = ""
        if store == "postgresql":
            assert stores.postgres is not None
            url = await stores.postgres.make()
            stack.push_async_callback(stores.postgres.drop, url)
            database = url.render_as_string(hide_password=False)
            flags = (*flags, "--database", database)
        arguments = ["control-plane", "--data-dir", str(directory), "--port", "0", *flags]
        server = await stack.enter_async_context(_program(arguments, {}))
        served = Target(directory, database, server, await _address(server))
        await stack.enter_async_context(served.perdure)
        yield served


@asynccontextmanager
async def _program(arguments: list[str], environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    program = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        *("--log-format", "json"),
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
        env={**os.environ, **environment},
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            program.terminate()
        await program.communicate()


async def _address(server: asyncio.subprocess.Process) -> str:
    assert server.stderr is not None
    said = []
    async for line in server.stderr:
        said.append(line.decode())
        with contextlib.suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if entry["event"] == "server.started":
                return str(entry["address"])
    raise SystemExit("the control plane did not start:\n" + "".join(said))
