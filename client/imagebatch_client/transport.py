"""The channels to a server, and what becomes of calls on one that is closed."""

from __future__ import annotations

from asyncio import CancelledError, current_task
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import grpc
import grpc.aio

from imagebatch_client.errors import ClientClosedError, InvalidRequestError
from imagebatch_client.settings import ConnectionSettings


class ClosedChannel:
    """Turn what gRPC raises of a channel that was closed, before a call or during it, into ClientClosedError."""

    def __init__(self, is_closed: Callable[[], bool]) -> None:
        self._is_closed = is_closed

    def __enter__(self) -> None:
        if self._is_closed():
            raise ClientClosedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_closed():
            return
        is_cancelled_by_caller = isinstance(error, CancelledError) and _is_being_cancelled()
        if isinstance(error, _OF_CLOSED_CHANNELS) and not is_cancelled_by_caller:
            raise ClientClosedError from error


_OF_CLOSED_CHANNELS = (ValueError, RuntimeError, CancelledError, grpc.FutureCancelledError, grpc.aio.UsageError)


def _is_being_cancelled() -> bool:
    """Whether the running task is: grpc.aio raises CancelledError also in a call that its channel's end ended."""
    try:
        task = current_task()
    except RuntimeError:  # no event loop here
        return False
    return task is not None and task.cancelling() > 0


def open_channel(settings: ConnectionSettings) -> grpc.Channel:
    """Open a channel for the synchronous client. It connects when first used."""
    if settings.is_tls:
        return grpc.secure_channel(settings.address, _credentials(settings), _channel_options(settings))
    return grpc.insecure_channel(settings.address, _channel_options(settings))


def open_aio_channel(settings: ConnectionSettings) -> grpc.aio.Channel:
    """Open a channel for the asynchronous client, bound to the running event loop. It connects when first used."""
    if settings.is_tls:
        return grpc.aio.secure_channel(settings.address, _credentials(settings), _channel_options(settings))
    return grpc.aio.insecure_channel(settings.address, _channel_options(settings))


def _credentials(settings: ConnectionSettings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(settings, "tls_ca"),
        private_key=_pem(settings, "tls_client_key"),
        certificate_chain=_pem(settings, "tls_client_certificate"),
    )


def _pem(settings: ConnectionSettings, name: str) -> bytes | None:
    path: Path | str | None = getattr(settings, name)
    if path is None:
        return None
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequestError.of_field(name, f"{path} can't be read: {error.strerror}") from error
    if b"-----BEGIN " not in content:
        raise InvalidRequestError.of_field(name, f"{path} is no PEM file; give one that has -----BEGIN ...-----")
    return content


def _channel_options(settings: ConnectionSettings) -> list[tuple[str, str | int]]:
    options: list[tuple[str, str | int]] = [
        # gRPC's own pause between connection attempts grows to two minutes: too long after a server's restart.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 3_000),
        # Half-open connections (a cable, a laptop's lid) show no error by themselves.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Of a name that leads to several servers all are called in turn, instead of the first that answers.
        ("grpc.lb_policy_name", "round_robin"),
    ]
    if settings.is_loopback:
        options.append(("grpc.enable_http_proxy", 0))  # a proxy can't reach this machine's loopback
    if settings.tls_server_name is not None:
        options.append(("grpc.ssl_target_name_override", settings.tls_server_name))
    return options
