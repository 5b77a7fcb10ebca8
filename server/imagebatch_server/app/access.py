"""What the settings say of TLS and of who may call, built."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from imagebatch_server.access import access_file, tls
from imagebatch_server.access.authenticator import Authenticator
from imagebatch_server.access.exposure import check_exposed
from imagebatch_server.access.failed_attempts import FailedAttempts
from imagebatch_server.access.openid import Claims, OpenIdTokens
from imagebatch_server.access.provider_keys import ProviderKeys
from imagebatch_server.access.tls import Identity, TlsFiles
from imagebatch_server.access.watched_files import FileWatch, WatchedFiles
from imagebatch_server.app.metrics import Metrics
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart, SettingsClash
from imagebatch_server.batches.loops import Loop, running


@dataclass(frozen=True)
class Access:
    """Who may call, and how."""

    authenticator: Authenticator
    identity: WatchedFiles[Identity] | None
    """Of the server, if it speaks TLS."""


@asynccontextmanager
async def open_access(settings: Settings, metrics: Metrics) -> AsyncIterator[Access]:
    """Read what the settings name, and keep it up to date while the block runs.

    Raises CannotStart, also for an address that is more open than they allow.
    """
    identity = _identity(settings)
    watched: list[WatchedFiles[Any]] = [] if identity is None else [identity]
    loops: list[Loop] = []
    path = settings.access_file
    file = None if path is None else WatchedFiles([path], lambda: access_file.read_known(path))
    if file is not None:
        watched.append(file)
    openid = None
    if settings.openid_issuer is not None:
        keys = _provider(settings.openid_issuer, settings)
        openid = OpenIdTokens(keys, _claims(settings.openid_issuer, settings))
        loops.append(keys)
    if watched:
        loops.append(FileWatch(watched))
    attempts = FailedAttempts(settings.max_failed_attempts_per_minute, metrics.refused)
    callers = None if file is None else (lambda: file.value)
    access = Access(Authenticator(attempts, callers, openid), identity)
    asks = access.authenticator.asks
    # The metrics port knows neither TLS nor tokens.
    for option, address, has_tls, asked in (
        ("--address", settings.address, identity is not None, asks),
        ("--http-address", settings.http_address, identity is not None, asks),
        ("--metrics-address", settings.metrics_address, False, False),
    ):
        if address is not None:
            check_exposed(
                option,
                address,
                has_tls=has_tls,
                asks=asked,
                plaintext_ok=settings.insecure_plaintext,
                anonymous_ok=settings.insecure_anonymous,
            )
    async with AsyncExitStack() as opened:
        for loop in loops:
            await opened.enter_async_context(running(loop))
        yield access


def grpc_credentials(identity: WatchedFiles[Identity]) -> grpc.ServerCredentials:
    """Let gRPC speak TLS by the files as they stand when a connection is made."""
    given = identity.value

    def current() -> grpc.ServerCertificateConfiguration | None:
        """Answer another configuration, or None; called for every connection, on threads that are gRPC's."""
        nonlocal given
        now = identity.value
        if now is given:
            return None
        given = now
        return _configuration(now)

    is_mutual = given.client_ca is not None
    return grpc.dynamic_ssl_server_credentials(
        _configuration(given),
        current,  # type: ignore[arg-type]  # which may answer None, whatever the stubs say
        require_client_authentication=is_mutual,
    )


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.key, identity.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=identity.client_ca)


def _identity(settings: Settings) -> WatchedFiles[Identity] | None:
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is not None and key is not None:
        return tls.watched(TlsFiles(certificate, key, client_ca))
    if certificate is not None or key is not None:
        raise SettingsClash("--tls-certificate and --tls-key need each other: give both, or neither for plain text")
    if client_ca is not None:
        raise SettingsClash(
            "--tls-client-ca: plain text knows no certificates; give --tls-certificate and --tls-key, too"
        )
    return None


def _provider(issuer: str, settings: Settings) -> ProviderKeys:
    try:
        return ProviderKeys(issuer, settings.openid_ca)
    except OSError as error:
        raise CannotStart(f"--openid-ca: {settings.openid_ca}: {error.strerror or error}") from error


def _claims(issuer: str, settings: Settings) -> Claims:
    if settings.openid_audience is None:
        raise SettingsClash("--openid-issuer needs --openid-audience: tokens for other services must not count here")
    return Claims(
        issuer,
        settings.openid_audience,
        tenant=settings.openid_tenant_claim,
        roles=settings.openid_roles_claim,
        leeway_s=settings.openid_leeway_s,
    )
