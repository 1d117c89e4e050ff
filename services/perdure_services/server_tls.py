"""TLS of a control plane: its certificate, which is read again when it has changed, and those of its callers."""

import pathlib
import ssl
import stat
from dataclasses import dataclass
from typing import Final

import grpc
import structlog

from perdure_services.settings import ControlPlaneSettings

log = structlog.get_logger(__name__)


class CertificateUnusable(Exception):
    """A certificate or its key cannot be used. The message says what to do."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What stands in the files, and by what it is seen that they have changed."""

    marks: tuple[tuple[int, int, int], ...]
    configuration: grpc.ServerCertificateConfiguration


class ServerCertificate:
    """The files of a server's certificate. They are looked at when somebody connects; what connected before stays."""

    def __init__(self, certificate: pathlib.Path, key: pathlib.Path, client_ca: pathlib.Path | None) -> None:
        """Reads them. Raises CertificateUnusable."""
        self._certificate: Final = certificate
        self._key: Final = key
        self._client_ca: Final = client_ca
        self._read = self._look()
        self._failed: tuple[tuple[int, int, int], ...] = ()

    def credentials(self) -> grpc.ServerCredentials:
        """What a port is opened with. Where there is a CA for callers, whoever has no certificate of it is not let in."""
        return grpc.dynamic_ssl_server_credentials(
            self._read.configuration,
            self._fetch,  # type: ignore[arg-type]  # gRPC takes None, which its types do not say
            require_client_authentication=self._client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """What whoever connects now is shown; None for what was shown before. Called by gRPC, in a thread of its own."""
        try:
            marks = self._marks()
            if marks in (self._read.marks, self._failed):
                return None
            self._failed = marks
            self._read = self._look()
        except (OSError, CertificateUnusable) as error:
            log.warning("certificate.not_read_again", reason=str(error))
            return None
        log.info("certificate.read_again", certificate=str(self._certificate))
        return self._read.configuration

    def _look(self) -> _Read:
        try:
            marks = self._marks()
            if stat.S_IMODE(self._key.stat().st_mode) & stat.S_IRWXO:
                raise CertificateUnusable(
                    f"{self._key} can be read by everybody on this machine; run: chmod 600 {self._key}"
                )
            key, certificate = self._key.read_bytes(), self._certificate.read_bytes()
            ca = self._client_ca.read_bytes() if self._client_ca else None
        except OSError as error:
            raise CertificateUnusable(f"{error.filename} cannot be read: {error.strerror}") from error
        self._check(ca)
        configuration = grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)
        return _Read(marks, configuration)

    def _check(self, ca: bytes | None) -> None:
        """gRPC says of certificates that it cannot use nothing that helps."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate, self._key, password=lambda: b"")
        except (ssl.SSLError, ValueError) as error:
            raise CertificateUnusable(
                f"{self._certificate} and {self._key} are not a certificate and its own key, in PEM and without a password"
            ) from error
        if ca is not None:
            try:
                context.load_verify_locations(cadata=ca.decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                raise CertificateUnusable(f"{self._client_ca} holds no certificate of a CA, in PEM") from error

    def _marks(self) -> tuple[tuple[int, int, int], ...]:
        files = [path for path in (self._certificate, self._key, self._client_ca) if path is not None]
        return tuple((found.st_ino, found.st_mtime_ns, found.st_size) for found in (path.stat() for path in files))


def server_certificate(settings: ControlPlaneSettings) -> ServerCertificate | None:
    """The certificate that the settings name; None where they name none. Raises CertificateUnusable."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return ServerCertificate(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
