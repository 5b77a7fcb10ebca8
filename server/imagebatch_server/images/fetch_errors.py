"""What is said of a fetch that failed: which URL, what its host did, what to do; no query, no address from inside."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping

import aiohttp
from aiohttp.http_exceptions import TransferEncodingError

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.connection import WastefulHost
from imagebatch_server.images.guard import ForbiddenAddress, ForbiddenHost
from imagebatch_server.retry_after import retry_after_s
from imagebatch_server.urls import WebUrl, shown

CA_SETTING = "IMAGEBATCH_FETCH_CA_FILE"
PROXY_SETTING = "IMAGEBATCH_FETCH_PROXY"

_TRANSIENT_STATUSES = frozenset({408, 425, 429})

_REFUSED_RETRY_S = 60.0
"""A port that refuses is likely a program that is being started again: it is tried over minutes, not over a second."""

# OpenSSL's numbers, X509_V_ERR_*.
_EXPIRED, _NOT_YET_VALID, _SELF_SIGNED, _OTHER_NAME = 10, 9, 18, (62, 64)
_UNKNOWN_AUTHORITY = (2, 19, 20, 21)


def failed(url: WebUrl, what: str, *, transient: bool = False, retry_after_s: float | None = None) -> ItemError:
    """Say what is wrong with what a URL leads to, to be read after the URL."""
    return ItemError(
        ItemErrorCode.FETCH_FAILED, f"{shown(url)} {what}", transient=transient, retry_after_s=retry_after_s
    )


def refused(url: WebUrl, status: int, headers: Mapping[str, str]) -> ItemError:
    """Say what an HTTP status means that brings no image."""
    transient = status in _TRANSIENT_STATUSES or status >= 500
    remedy = "the host may recover" if transient else "check that the URL is right and public"
    wait_s = retry_after_s(headers.get("Retry-After")) if transient else None
    return ItemError(
        ItemErrorCode.FETCH_FAILED,
        f"{shown(url)} answered with status {status}; {remedy}",
        transient=transient,
        # A bare 503 says that something is broken as often as that too much is asked: it costs an attempt.
        busy=status == 429 or (status == 503 and wait_s is not None),
        retry_after_s=wait_s,
    )


def connection_error(url: WebUrl, error: aiohttp.ClientError) -> ItemError:
    """Say what went wrong with a connection, without the error's own text where that may hold the URL's query."""
    if isinstance(error, WastefulHost):
        return failed(url, f"{error}; mend the host or upload the image")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        transient = error.status >= 500 or error.status in _TRANSIENT_STATUSES
        return failed(url, f"was refused by this server's proxy, status {error.status}; {_ASK}", transient=transient)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):  # the one kind without an os_error
        return _certificate_error(url, error.certificate_error)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ForbiddenAddress):
        return ForbiddenHost(cause)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return failed(url, f"can't be asked for, because this server's proxy is away; {_ASK}", transient=True)
    if isinstance(cause, ConnectionRefusedError):
        return failed(
            url,
            "can't be read: connection refused; check its port and that the host is up",
            transient=True,
            retry_after_s=_REFUSED_RETRY_S,
        )
    return failed(url, _what_happened(cause), transient=True)


_ASK = f"have the server's operator look at {PROXY_SETTING}"


def _what_happened(cause: Exception) -> str:
    tls = cause if isinstance(cause, ssl.SSLError) else cause.__cause__
    if isinstance(tls, ssl.SSLError):
        return f"can't be read: its TLS handshake failed ({tls.reason}); check that its port speaks TLS 1.2 or later"
    if isinstance(cause, socket.gaierror):
        return f"can't be read: {cause.strerror or 'its name is not known'}; check the host's name"
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return "closed the connection without an answer; the host may recover"
    if isinstance(cause, aiohttp.ClientPayloadError):
        if isinstance(cause.__cause__, TransferEncodingError) and "Not enough data" not in str(cause.__cause__):
            return _malformed(cause.__cause__.message)
        return "broke off before the image was whole; the host may recover"
    if isinstance(cause, aiohttp.ClientResponseError):
        return _malformed(cause.message)
    if isinstance(cause, OSError) and cause.errno:
        # asyncio's own words name the address, which is nobody's business
        return f"can't be read: {os.strerror(cause.errno)}; check that the host is up and can be reached"
    return f"can't be read: {type(cause).__name__}; check that the host is up"


def _malformed(message: str) -> str:
    words = message.partition(":")[0].partition("\n")[0].strip()[:80]
    detail = f" ({words})" if words.isprintable() and words else ""
    return f"answered with what is no valid HTTP{detail}; check that a web server answers there, or mend the host"


def _certificate_error(url: WebUrl, error: Exception) -> ItemError:
    code = getattr(error, "verify_code", None)
    if code == _EXPIRED:
        what = "has a TLS certificate that has expired; have its host renew it, or upload the image"
    elif code == _NOT_YET_VALID:
        what = "has a TLS certificate that is not valid yet; mend the host's clock, or upload the image"
    elif code == _SELF_SIGNED:
        what = f"has a self-signed TLS certificate; {_TRUST}"
    elif code in _UNKNOWN_AUTHORITY:
        what = f"has a TLS certificate of an authority that is not trusted here; {_TRUST}"
    elif code in _OTHER_NAME:
        what = "has a TLS certificate for another name; ask by the name that it is for, or mend the host"
    else:
        reason = getattr(error, "verify_message", "") or "it is not valid"
        what = f"has a TLS certificate that is refused: {reason}; mend the host or upload the image"
    return failed(url, what)


_TRUST = f"have the server's operator add it, or its authority, to {CA_SETTING}, or upload the image"
