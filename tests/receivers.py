"""A receiver of webhooks for tests: real HTTP on loopback, whose answers a test writes down."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

SECRET = b"an old secret of thirty-two bytes"
NEXT_SECRET = b"a new secret that has so many, too"


def text_of(secret: bytes) -> str:
    """A secret as its file has it."""
    return f"whsec_{base64.b64encode(secret).decode()}\n"


@dataclass(frozen=True)
class Request:
    """What was received."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def word(self) -> str:
        """The last word of the event's type."""
        return str(self.event["type"].rpartition(".")[2])

    def is_signed(self, secret: bytes) -> bool:
        """Whether one of the signatures is the one that this secret gives, computed here from what was received."""
        signed = b".".join([self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), self.body])
        mac = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        return f"v1,{mac}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """Takes requests. `answers` are given in turn, the last one for ever: a status, or a line of another kind.

    `hang` says nothing, `drop` ends the connection, `noise` is no HTTP, and `drip` sends a head without end. What begins
    with `busy` is a 503 with the rest as its `Retry-After`.
    """

    answers: list[int | str] = field(default_factory=lambda: [204])
    received: "asyncio.Queue[Request]" = field(default_factory=asyncio.Queue)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks?token=path-secret"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # whoever sent it has gone
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            self.received.put_nowait(Request(line.split(" ")[1], headers, body))
            await self._answer(answer, reader, writer)
        writer.close()

    async def _answer(self, answer: int | str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match answer:
            case int():
                more = f"location: {self.url}\r\n" if 300 <= answer < 400 else ""
                writer.write(f"HTTP/1.1 {answer} Said\r\n{more}content-length: 9\r\n\r\nsensitive".encode())
                await writer.drain()
            case str() if answer.startswith("busy "):
                writer.write(f"HTTP/1.1 503 Busy\r\nRetry-After: {answer[5:]}\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
            case "hang":
                await reader.read()
            case "noise":
                writer.write(b"\x00\x01 nothing that HTTP knows\r\n\r\n")
                await writer.drain()
            case "drip":
                writer.write(b"HTTP/1.1 200 Said\r\n" + b"x-more: of the same\r\n" * 2000)
                await writer.drain()


@asynccontextmanager
async def receiver(
    answers: Sequence[int | str] = (204,), tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    made = Receiver(list(answers), port=port, scheme="https" if tls is not None else "http")
    server = await asyncio.start_server(made.take, "127.0.0.1", port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
