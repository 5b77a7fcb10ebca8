"""The server's certificate, its key and whom it takes certificates from, as they stand on disk now."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebatch_server.access.watched_files import WatchedFiles


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the certificate with its chain, its key, and the authority of clients' certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class Identity:
    """What the files hold, found to belong together."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext

    def __repr__(self) -> str:
        """Keep the key out of logs."""
        return "Identity(...)"


def watched(files: TlsFiles) -> WatchedFiles[Identity]:
    """Read the files, and be ready to read them again. Raises CannotStart."""
    paths = [files.certificate, files.key, *([] if files.client_ca is None else [files.client_ca])]
    return WatchedFiles(paths, lambda: _read(files))


def _read(files: TlsFiles) -> Identity:
    """Raise OSError, and ValueError where they don't belong together or are no PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise ValueError(f"no certificate, or not the one of the key: {error.reason or error}") from None
    return Identity(
        files.certificate.read_bytes(),
        files.key.read_bytes(),
        None if files.client_ca is None else files.client_ca.read_bytes(),
        context,
    )


def _no_password() -> str:
    raise ValueError("the key is encrypted; give one without a passphrase, readable by the server alone")


class LiveContext(ssl.SSLContext):
    """A context for servers that take one for good: each connection is made by that of the files as they stand."""

    _identity: WatchedFiles[Identity]

    @classmethod
    def of(cls, identity: WatchedFiles[Identity]) -> LiveContext:
        """Make one."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._identity = identity
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._identity.value.context.wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return self._identity.value.context.wrap_socket(*args, **kwargs)
