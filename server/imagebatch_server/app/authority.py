"""A certificate authority for demonstrations and tests: made on the spot, and forgotten with its folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_BEFORE = timedelta(minutes=5)
"""Clocks differ."""

_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Issues certificates whose files are in one folder. Its own key is kept nowhere."""

    def __init__(self, folder: Path, name: str = "ca", lifetime: timedelta = timedelta(days=1)) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"Imagebatch {name}")
        builder = _builder(self._name, self._key, self._name, self._key, lifetime)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = _write(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))
        """Whom clients are to trust."""

    def issue(
        self, name: str, hosts: Sequence[str] = (), uris: Sequence[str] = (), lifetime: timedelta = timedelta(days=1)
    ) -> tuple[Path, Path]:
        """Write a certificate for hosts (names and addresses) and URIs, and its key; replaces those of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*map(_host, hosts), *map(x509.UniformResourceIdentifier, uris)]
        certificate = (
            _builder(_name(name), key, self._name, self._key, lifetime)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return (
            _write(self._folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            _write(self._folder / f"{name}.key", private),
        )


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lifetime) - _BEFORE)
        .not_valid_after(now + lifetime)
        # Python asks for both from 3.13 on.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, data: bytes) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return path
