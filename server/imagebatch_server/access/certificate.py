"""The certificate that a caller showed when it connected, once TLS has found it signed by the server's authority."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509

_KINDS: tuple[type[x509.GeneralName], ...] = (x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name)
_KEPT = 1_024


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whom it names, and until when: a connection may outlive it."""

    names: tuple[str, ...]
    """Its alternative names (SAN): URIs, then DNS names, then e-mail addresses."""
    expires_at: datetime


@lru_cache(_KEPT)
def from_pem(data: bytes) -> Certificate:
    """Read one as gRPC hands it over."""
    return _read(data, x509.load_pem_x509_certificate)


@lru_cache(_KEPT)
def from_der(data: bytes) -> Certificate:
    """Read one as Python's `ssl` hands it over."""
    return _read(data, x509.load_der_x509_certificate)


def _read(data: bytes, load: Callable[[bytes], x509.Certificate]) -> Certificate:
    certificate = load(data)
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Certificate((), certificate.not_valid_after_utc)
    names = tuple(str(name.value) for kind in _KINDS for name in san if isinstance(name, kind))
    return Certificate(names, certificate.not_valid_after_utc)
