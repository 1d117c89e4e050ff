"""Secrets that a test plants, the real processes that work with them, and a search for them in everything that is left."""

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import zstandard

PROGRAMS = pathlib.Path(sys.executable).parent
PATIENCE = 50.0
CANARY = "canary-of-the-search"
"""Stands beside every secret that is planted: where the search does not find it, it has not looked."""

ZSTANDARD = b"\x28\xb5\x2f\xfd"


def forms(value: str) -> dict[str, bytes]:
    """How a value may be written."""
    raw, found = value.encode(), {"plain": value, "reversed": value[::-1], "hexadecimal": value.encode().hex()}
    for before, first in ((0, 0), (1, 2), (2, 3)):
        last = (before + len(raw)) * 8 // 6
        padded = b"\0" * before + raw
        found[f"base64, {before}"] = base64.b64encode(padded).decode()[first:last]
        found[f"base64 for addresses, {before}"] = base64.urlsafe_b64encode(padded).decode()[first:last]
    found["in an address"] = urllib.parse.quote(value, safe="")
    found["in a form"] = urllib.parse.quote_plus(value)
    found["in JSON"] = json.dumps(value)[1:-1]
    found["in JSON in UTF-8"] = json.dumps(value, ensure_ascii=False)[1:-1]
    found["in JSON in JSON"] = json.dumps(json.dumps(value))[3:-3]
    return {form: text.encode() for form, text in found.items()}


@dataclass
class Search:
    """What was searched, and what was found of each secret."""

    secrets: Mapping[str, str]
    found: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """Bytes searched, by place."""
    canaries: set[str] = field(default_factory=set)
    """Places in which something stands that stood beside a secret."""

    def __call__(self, place: str, content: bytes) -> None:
        """Looks for every secret in every form."""
        self.places[place] = self.places.get(place, 0) + len(content)
        if CANARY.encode() in content:
            self.canaries.add(place)
        for name, value in self.secrets.items():
            for form, written in forms(value).items():
                if written in content:
                    at = content.index(written)
                    around = content[max(0, at - 60) : at + len(written) + 20]
                    self.found.append(f"{name}, {form}, in {place}: {around!r}")

    def sqlite(self, data_dir: pathlib.Path) -> None:
        """Looks through every file of a store as it is, and through every cell, unpacked."""
        for file in sorted(data_dir.iterdir()):
            self(f"the file {file.name}", file.read_bytes())
        (database,) = data_dir.glob("*.db")
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            connection.text_factory = bytes
            tables = [
                name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            for table in tables:
                for row in connection.execute(f"SELECT * FROM {table}"):  # its own names
                    self._cells(table, row)

    def postgres(self, url: str) -> None:
        """Looks through every cell of every table, unpacked."""
        asyncio.run(self._postgres(url))

    async def _postgres(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            listed = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in listed:
                for row in await connection.fetch(f'SELECT * FROM "{table}"'):  # its own names
                    self._cells(table, tuple(row))
        finally:
            await connection.close()

    def _cells(self, table: str, row: tuple[Any, ...]) -> None:
        cells = [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row]
        unpacked = [zstandard.ZstdDecompressor().decompress(cell) for cell in cells if cell.startswith(ZSTANDARD)]
        self(f"the table {table}", b"\n".join([*cells, *unpacked]))


@dataclass
class Site:
    """A control plane, an executor and a command line, each a process of its own, and all that they print."""

    folder: pathlib.Path
    search: Search
    address: str = ""
    _listening: threading.Event = field(default_factory=threading.Event)
    _processes: "list[tuple[subprocess.Popen[bytes], threading.Thread]]" = field(default_factory=list)

    def serve(self, *flags: str) -> None:
        """Starts a control plane and returns when it listens."""
        self._begin("control-plane", "--port", "0", "--data-dir", str(self.folder / "data"), *flags)
        assert self._listening.wait(PATIENCE)

    def work(self, *flags: str, **environment: str) -> None:
        """Starts an executor."""
        where = ("--server", self.address, "--name", "planted", "--workspace", str(self.folder))
        self._begin("executor", *where, *flags, **environment)

    def _begin(self, program: str, *flags: str, **environment: str) -> None:
        command = [PROGRAMS / "perdure-server", program, "--log-format", "json", "--log-level", "debug", *flags]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, env=self._surroundings() | environment, **streams)
        reading = threading.Thread(target=self._read, args=(program, process))
        reading.start()
        self._processes.append((process, reading))

    def _read(self, program: str, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.search(f"what the {program} prints", line)
                if b'"server.started"' in line:
                    self.address = json.loads(line)["address"]
                    self._listening.set()

    def perdure(self, *arguments: str, code: int | None = 0, **more: str) -> str:
        """Runs a command to its end and returns what it prints, which is searched unless the command has keys."""
        environment = self._surroundings() | {"PERDURE_SERVER": self.address} | more
        command = [str(PROGRAMS / "perdure"), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
        assert code is None or done.returncode == code, (arguments, done)
        if not more:
            name = " ".join(word for word in arguments[:2] if word[0] != "-")
            self.search(f"perdure {name}", done.stdout + done.stderr)
        return done.stdout.decode()

    def _surroundings(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PERDURE_", "XDG_"))}
        return kept | {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config")}

    def close(self) -> None:
        """Ends every process, the last begun first, and returns when all that they printed was searched."""
        for process, reading in reversed(self._processes):
            process.terminate()
            process.wait(PATIENCE)
            reading.join()
        self._processes.clear()


@contextlib.contextmanager
def site(folder: pathlib.Path, secrets: Mapping[str, str]) -> Iterator[Site]:
    """A site whose processes are ended at last."""
    made = Site(folder, Search(secrets))
    try:
        yield made
    finally:
        made.close()
