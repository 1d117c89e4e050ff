"""One HTTP request to a webhook: to an address that was looked at, within a time, and with no step further.

The address comes from the settings, but what its name stands for is said by whoever has the name. So the connection goes to
the very address that was checked, and never to one where a host's own secrets are told: link-local addresses above all.
Addresses of private networks are let be, for there most receivers are. A redirect is an answer like any other that is no
success.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final

import h11

from perdure_services.identity_settings import LOOPBACK
from perdure_services.webhook_settings import WebhookSettings, WebhookUnusable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HEAD_BYTES: Final = 16 * 1024
"""The largest head of an answer; of its body nothing is read."""

PIECE: Final = 4096

METADATA: Final = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")))
"""Where clouds tell a host of its own secrets, beside link-local addresses."""

NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


BUSY: Final = (429, 503)
"""Statuses with which a receiver may say how long it wants to be left alone."""


class CallFailed(Exception):
    """The request was not taken. The message says why, in our own words: it is stored, logged and shown."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        """`wait` is how many seconds the receiver wants to be left alone; 0 where it does not say."""
        super().__init__(message)
        self.wait: Final = wait


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where requests go."""

    host: str
    port: int
    target: str
    tls: ssl.SSLContext | None

    async def post(self, headers: Sequence[tuple[str, str]], body: bytes, seconds: float) -> None:
        """Sends a body. Raises CallFailed unless it is taken, by a status from 200 to 299, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                answer = await self._exchange(self._request(headers, body), body)
        except TimeoutError as error:
            raise CallFailed(f"no answer within {seconds:g} s") from error
        except ssl.SSLError as error:
            raise CallFailed(f"TLS failed: {error.reason or 'no reason given'}") from error
        except socket.gaierror as error:
            raise CallFailed("its host is unknown") from error
        except OSError as error:
            raise CallFailed(f"it cannot be reached: {error.strerror or type(error).__name__}") from error
        except h11.ProtocolError as error:
            raise CallFailed("it did not answer as HTTP says") from error
        status = answer.status_code
        if 300 <= status < 400:
            raise CallFailed(f"it answered {status}, and redirects are not followed")
        if not 200 <= status < 300:
            raise CallFailed(f"it answered {status}", _wait(answer) if status in BUSY else 0.0)

    def _request(self, headers: Sequence[tuple[str, str]], body: bytes) -> h11.Request:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = [
            ("host", f"{host}:{self.port}"),
            ("user-agent", f"perdure/{version('perdure-server')}"),
            ("content-type", "application/cloudevents+json; charset=utf-8"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        return h11.Request(method="POST", target=self.target, headers=[*usual, *headers])

    async def _exchange(self, request: h11.Request, body: bytes) -> h11.Response:
        address = await self._address()
        name = self.host if self.tls is not None else None
        reader, writer = await asyncio.open_connection(str(address), self.port, ssl=self.tls, server_hostname=name)
        try:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
            for part in (request, h11.Data(data=body), h11.EndOfMessage()):
                writer.write(connection.send(part) or b"")
            await writer.drain()
            while not isinstance(event := connection.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(PIECE))
                elif not isinstance(event, h11.InformationalResponse):
                    raise h11.RemoteProtocolError("it ended without an answer")
            return event
        finally:
            writer.transport.abort()  # whatever else it says is not read

    async def _address(self) -> Address:
        """The address to connect to. Raises CallFailed, OSError."""
        found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
        for address in addresses:
            require_allowed(address, self.host)
        return addresses[0]


def _wait(answer: h11.Response) -> float:
    """Seconds that `Retry-After` asks for (RFC 9110, 10.2.3), as a number or a date; 0 for none that can be read."""
    text = next((value.decode("latin-1") for name, value in answer.headers if name == b"retry-after"), "")
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def require_allowed(address: Address, host: str) -> None:
    """Raises CallFailed where nothing may be sent to an address that a host stands for."""
    meant: Address = address
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            meant = address.ipv4_mapped
        elif address in NAT64:
            meant = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if meant.is_loopback != (host in LOOPBACK):
        raise CallFailed("its host stands for another machine than its name says")
    if meant.is_loopback:
        return
    if meant.is_link_local or meant.is_multicast or meant.is_unspecified or meant.is_reserved or meant in METADATA:
        raise CallFailed("its host stands for an address that nothing is sent to")


def receiver_of(settings: WebhookSettings) -> Receiver:
    """Where the requests of a webhook go. Raises WebhookUnusable."""
    address = urllib.parse.urlsplit(settings.url)
    host = address.hostname or ""
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    if address.scheme == "http":
        return Receiver(host, address.port or 80, target, None)
    try:
        tls = ssl.create_default_context(cafile=settings.tls_ca)
    except OSError as error:
        raise WebhookUnusable(f"webhooks: tls_ca of {settings.name}: {settings.tls_ca} cannot be used") from error
    return Receiver(host, address.port or 443, target, tls)
