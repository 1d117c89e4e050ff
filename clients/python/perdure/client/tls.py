"""TLS of a client: how it knows a server, and how it shows who it is itself."""

import pathlib
import ssl
import stat
from dataclasses import dataclass

import grpc

from perdure.addresses import is_local

SYSTEM = "system"
"""In place of a file with CAs: those that the system trusts."""

NONE = "none"
"""In place of it: nothing is encrypted here, for something in between does it."""


class TlsUnusable(ValueError):
    """Something cannot be encrypted as it is said. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """`ca` is a file with CAs, SYSTEM, NONE, or empty: nothing is said, and nothing is encrypted."""

    ca: str = ""
    certificate: pathlib.Path | None = None
    key: pathlib.Path | None = None

    def credentials(self, address: str, *, has_key: bool) -> grpc.ChannelCredentials | None:
        """What a channel to an address is opened with; None for plain text. Raises TlsUnusable.

        A caller that `has_key` sends it nowhere but to this machine in plain text, unless that is said.
        """
        if (self.certificate is None) is not (self.key is None):
            raise TlsUnusable("a certificate and its key are given together, or neither is")
        if self.ca in ("", NONE):
            if self.certificate is not None:
                raise TlsUnusable("a certificate is shown over TLS only; say which CAs know the server")
            if has_key and not self.ca and not is_local(address):
                raise TlsUnusable(
                    f"a key is not sent to {address} in plain text; say which CAs know the server, a file or {SYSTEM!r},"
                    f" or {NONE!r} where something in between encrypts"
                )
            return None
        roots = None if self.ca == SYSTEM else _certificates(pathlib.Path(self.ca))
        if self.certificate is None or self.key is None:
            return grpc.ssl_channel_credentials(roots)
        return grpc.ssl_channel_credentials(roots, *_pair(self.key, self.certificate))


def _certificates(path: pathlib.Path) -> bytes:
    content = _content(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsUnusable(f"{path} holds no certificate of a CA, in PEM") from error
    return content


def _pair(key: pathlib.Path, certificate: pathlib.Path) -> tuple[bytes, bytes]:
    contents = _content(key), _content(certificate)
    if stat.S_IMODE(key.stat().st_mode) & stat.S_IRWXO:
        raise TlsUnusable(f"{key} can be read by everybody on this machine; run: chmod 600 {key}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise TlsUnusable(
            f"{certificate} and {key} are not a certificate and its own key, in PEM and without a password"
        ) from error
    return contents


def _content(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsUnusable(f"{path} cannot be read: {error.strerror}") from error
