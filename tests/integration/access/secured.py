"""A server that speaks TLS and asks who calls, and its callers."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from tests.integration.server.calls import Raw
from tests.server import ServerProcess

from imagebatch_server.access import access_file
from imagebatch_server.access.access_file import Caller
from imagebatch_server.access.principal import Role
from imagebatch_server.app.authority import Authority


class Metadata(grpc.AuthMetadataPlugin):
    """Adds entries to each call's metadata."""

    def __init__(self, *entries: tuple[str, str]) -> None:
        self._entries = entries

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        callback(self._entries, None)


class Secured:
    """The files of the server in one folder, and clients of it."""

    server: ServerProcess

    def __init__(self, folder: Path, *, mutual: bool = False) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.trusted = self.authority.certificate.read_bytes()
        self.certificate, self.key = self.renew()
        self.access_file = folder / "callers.json"
        self.audit_log = folder / "audit.jsonl"
        with access_file.changing(self.access_file):
            pass
        self.settings = {
            "tls_certificate": str(self.certificate),
            "tls_key": str(self.key),
            "access_file": str(self.access_file),
            "audit_log": str(self.audit_log),
            "max_failed_attempts_per_minute": "1000000",  # tests wait for tokens to count
        }
        if mutual:
            self.settings["tls_client_ca"] = str(self.authority.certificate)
        self._opened: list[Raw] = []

    def renew(self) -> tuple[Path, Path]:
        """Write the server's certificate and key, in place of those before."""
        return self.authority.issue("server", hosts=["127.0.0.1"])

    def grant(
        self, name: str, tenant: str, *roles: Role, lifetime_s: float = 3600.0, certificate: str | None = None
    ) -> str:
        """Let somebody call, by a token that is answered or by a certificate."""
        token = access_file.new_token()
        caller = Caller(
            name=name,
            tenant=tenant,
            roles=frozenset(roles or [Role.WRITER]),
            expires_at=datetime.now(UTC) + timedelta(seconds=lifetime_s),
            sha256=None if certificate else access_file.token_sha256(token),
            certificate=certificate,
        )
        with access_file.changing(self.access_file) as callers:
            callers.append(caller)
        return token

    def revoke(self, name: str) -> None:
        with access_file.changing(self.access_file) as callers:
            callers[:] = [caller for caller in callers if caller.name != name]

    def client(
        self, token: str | None = None, *, tenant: str | None = None, certificate: tuple[Path, Path] | None = None
    ) -> Raw:
        """Reach the server by TLS, showing what is given."""
        entries = [] if token is None else [("authorization", f"Bearer {token}")]
        entries += [] if tenant is None else [("imagebatch-tenant", tenant)]
        pair = (None, None) if certificate is None else (certificate[1].read_bytes(), certificate[0].read_bytes())
        credentials = grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(self.trusted, *pair),
            grpc.metadata_call_credentials(Metadata(*entries)),
        )
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        raw = Raw(self.server.address, grpc.secure_channel(self.server.address, credentials, options))
        self._opened.append(raw)
        return raw

    def seen_certificate(self) -> str:
        """Connect, and answer the certificate that the server shows."""
        host, port = self.server.address.split(":")
        return ssl.get_server_certificate((host, int(port)))

    def close(self) -> None:
        for raw in self._opened:
            raw.close()
