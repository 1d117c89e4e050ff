"""The channel of an executor to its server."""

import pathlib
from typing import Final

import grpc
import grpc.aio
import structlog

from perdure.client.channel import proxy_options
from perdure.client.tls import NONE, SYSTEM, Tls, TlsUnusable
from perdure_services.settings import ExecutorSettings

log = structlog.get_logger(__name__)

_OPTIONS: Final = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]


class ServerChannel:
    """The channel, opened with what its files hold. Certificates that are good for hours are replaced while it works."""

    def __init__(self, settings: ExecutorSettings) -> None:
        """Raises TlsUnusable."""
        self._server = settings.server
        self._has_key = bool(settings.key_file or settings.key.get_secret_value())
        self._tls = Tls(settings.tls_ca, settings.tls_certificate, settings.tls_key)
        self._read = self._contents()
        self.opened = self._open()

    async def renewed(self) -> grpc.aio.Channel | None:
        """Another channel where its files have changed, in place of the one before; None where that is good still.

        Files that cannot be used are said, and looked at again the next time.
        """
        contents = self._contents()
        if contents == self._read:
            return None
        try:
            opened = self._open()
        except TlsUnusable as error:
            log.warning("certificate.not_read_again", reason=str(error))
            return None
        before, self.opened, self._read = self.opened, opened, contents
        await before.close()
        log.info("certificate.read_again")
        return opened

    async def close(self) -> None:
        """Closes what is open."""
        await self.opened.close()

    def _open(self) -> grpc.aio.Channel:
        credentials = self._tls.credentials(self._server, has_key=self._has_key)
        options = [*_OPTIONS, *proxy_options(self._server)]
        if credentials is None:
            return grpc.aio.insecure_channel(self._server, options=options)
        return grpc.aio.secure_channel(self._server, credentials, options=options)

    def _contents(self) -> tuple[bytes | None, ...]:
        ca = pathlib.Path(self._tls.ca) if self._tls.ca not in ("", SYSTEM, NONE) else None
        return tuple(map(_content, (ca, self._tls.certificate, self._tls.key)))


def _content(path: pathlib.Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError:
        return None
