"""Certificates for tests: authorities, and what they sign."""

import datetime
import ipaddress
import pathlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as files."""

    certificate: pathlib.Path
    key: pathlib.Path


@dataclass(frozen=True)
class Authority:
    """A CA, and a folder for what it signs."""

    folder: pathlib.Path
    own_key: ec.EllipticCurvePrivateKey

    @property
    def certificate(self) -> pathlib.Path:
        return self.folder / "ca.pem"

    def sign(self, name: str, *alternatives: str) -> Signed:
        """A certificate for a common name, and for addresses, hosts and URIs."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self.folder.name, key)
        if alternatives:
            named = x509.SubjectAlternativeName([_alternative(text) for text in alternatives])
            builder = builder.add_extension(named, critical=False)
        file = name.replace("/", "-")
        signed = Signed(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        signed.certificate.write_bytes(builder.sign(self.own_key, SHA256()).public_bytes(Encoding.PEM))
        signed.key.touch(mode=0o600)
        signed.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return signed


def authority(folder: pathlib.Path) -> Authority:
    """A new CA, in a folder that is made."""
    folder.mkdir()
    made = Authority(folder, ec.generate_private_key(ec.SECP256R1()))
    builder = _builder(folder.name, folder.name, made.own_key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made.certificate.write_bytes(builder.sign(made.own_key, SHA256()).public_bytes(Encoding.PEM))
    return made


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        issuer_name=_name(issuer),
        subject_name=_name(subject),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=1),
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(text: str) -> x509.GeneralName:
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
