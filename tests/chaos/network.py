"""The network between programs: every connection goes through a door that can cut it, or hold up what passes."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from tests.free_ports import free_port

PIECE: Final = 65_536


@dataclass
class Door:
    """A port on loopback that leads to another one."""

    to_port: int
    port: int = field(default_factory=free_port)
    _passing: set["asyncio.Task[None]"] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _open: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Begins to let connections through."""
        self._open.set()
        self._server = await asyncio.start_server(self._let_through, "127.0.0.1", self.port)

    def cut(self) -> int:
        """Cuts every connection that goes through it, and returns how many there were."""
        cut = len(self._passing)
        for writer in self._writers:
            writer.transport.abort()
        return cut

    async def hold_up(self, seconds: float) -> None:
        """Lets nothing pass for a while; what is sent meanwhile arrives after it."""
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()

    async def close(self) -> None:
        """Ends every connection, and takes no more."""
        self._server.close()
        self._open.set()
        self.cut()
        await asyncio.gather(*self._passing)

    async def _let_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError):  # one end is gone, which is what the other one finds next
                answers, there = await asyncio.open_connection("127.0.0.1", self.to_port)
                self._writers.add(there)
                await asyncio.gather(self._pass_on(reader, there), self._pass_on(answers, writer))
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()
                    self._writers.discard(end)
            self._passing.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE):
            await self._open.wait()
            writer.write(piece)
            await writer.drain()
        raise ConnectionError("it was closed")
