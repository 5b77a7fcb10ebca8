"""How a server is reached: address, TLS, token, deadlines, and the channels made from them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import grpc
import grpc.aio

from imagebatch_client.errors import InvalidRequestError

DEFAULT_ADDRESS = "127.0.0.1:50051"

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


_PORT = r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_ADDRESS = re.compile(
    rf"(dns:(//[^/]*/)?)?(\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]+):{_PORT}|(ipv4|ipv6|unix|unix-abstract|xds):\S+"
)
"""HOST:PORT, or one of gRPC's other kinds of names."""


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where the server is and how patient the client is.

    `tls` None means: TLS if `tls_ca` is given, else plaintext. `tls_ca` is a PEM file of the authority that signed the
    server's certificate; without it, TLS trusts gRPC's own roots. A `token` goes in clear only to this machine, or
    where `tls=False` says so.

    `timeout_s` bounds every unary call with its repeats, and the time in which a watch must get its first message.
    `transfer_timeout_s` bounds an upload, a download or a streamed submit. `reconnect_for_s` is how long a watch that
    had contact tries to get it back. `silence_s` is how long a watch waits for a message (the server sends one at least
    every 5 s) before it takes the connection for dead and makes another.
    """

    address: str = DEFAULT_ADDRESS
    token: str | None = field(default=None, repr=False)
    tls: bool | None = None
    tls_ca: Path | str | None = None
    timeout_s: float = 30.0
    transfer_timeout_s: float = 600.0
    reconnect_for_s: float = 600.0
    silence_s: float = 20.0

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise InvalidRequestError.of_field(
                "address", f"{self.address!r} is no HOST:PORT, such as 127.0.0.1:50051; leave out http:// and paths"
            )
        if self.token and self.tls is None and not self.is_tls and not self.is_loopback:
            raise InvalidRequestError.of_field(
                "token",
                f"would travel to {self.address} in clear; set tls=True or tls_ca (IMAGEBATCH_TLS, IMAGEBATCH_TLS_CA), "
                "or tls=False (IMAGEBATCH_TLS=0) if the network is trusted",
            )

    @property
    def is_tls(self) -> bool:
        return self.tls_ca is not None if self.tls is None else self.tls

    @property
    def is_loopback(self) -> bool:
        host = self.address.rpartition(":")[0].strip("[]")
        if self.address.startswith("unix:") or host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False


def settings_from_env(environ: Mapping[str, str] = os.environ) -> ConnectionSettings:
    """Reads IMAGEBATCH_ADDRESS, IMAGEBATCH_TOKEN, IMAGEBATCH_TLS (0 or 1) and IMAGEBATCH_TLS_CA (a PEM file).

    A variable that is unset or empty leaves the default. Raises InvalidRequestError for an IMAGEBATCH_TLS that is
    neither.
    """
    tls = environ.get("IMAGEBATCH_TLS", "").strip().lower()
    if tls and tls not in _TRUE | _FALSE:
        raise InvalidRequestError.of_field("IMAGEBATCH_TLS", f"{tls!r} is neither 1 nor 0")
    return ConnectionSettings(
        address=environ.get("IMAGEBATCH_ADDRESS") or DEFAULT_ADDRESS,
        token=environ.get("IMAGEBATCH_TOKEN") or None,
        tls=tls in _TRUE if tls else None,
        tls_ca=environ.get("IMAGEBATCH_TLS_CA") or None,
    )


def open_channel(settings: ConnectionSettings) -> grpc.Channel:
    """A channel for the synchronous client. It connects when first used."""
    if settings.is_tls:
        return grpc.secure_channel(settings.address, _credentials(settings), _channel_options(settings))
    return grpc.insecure_channel(settings.address, _channel_options(settings))


def open_aio_channel(settings: ConnectionSettings) -> grpc.aio.Channel:
    """A channel for the asynchronous client, bound to the running event loop. It connects when first used."""
    if settings.is_tls:
        return grpc.aio.secure_channel(settings.address, _credentials(settings), _channel_options(settings))
    return grpc.aio.insecure_channel(settings.address, _channel_options(settings))


def call_metadata(settings: ConnectionSettings) -> tuple[tuple[str, str], ...]:
    """What every call carries."""
    return (("authorization", f"Bearer {settings.token}"),) if settings.token else ()


def _credentials(settings: ConnectionSettings) -> grpc.ChannelCredentials:
    if settings.tls_ca is None:
        return grpc.ssl_channel_credentials()
    try:
        return grpc.ssl_channel_credentials(Path(settings.tls_ca).read_bytes())
    except OSError as error:
        raise InvalidRequestError.of_field("tls_ca", f"{settings.tls_ca} can't be read: {error.strerror}") from error


def _channel_options(settings: ConnectionSettings) -> list[tuple[str, int]]:
    options = [
        # gRPC's own pause between connection attempts grows to two minutes: too long after a server's restart.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 3_000),
        # Half-open connections (a cable, a laptop's lid) show no error by themselves.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if settings.is_loopback:
        options.append(("grpc.enable_http_proxy", 0))  # a proxy can't reach this machine's loopback
    return options
