"""Who may talk to the port at all: by which host's name, and from which pages."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from imagebatch_server.http.exchange import Exchange

_METHODS = "GET, HEAD, POST, PUT"
_EXPOSED = (
    "connect-content-encoding, content-encoding, etag, grpc-encoding, grpc-message, grpc-status, "
    "grpc-status-details-bin, retry-after, www-authenticate"
)
_MAX_AGE_S = 7200
ANY = "*"


class HostNames:
    """The names by which the port may be called: those of this machine, and the public one.

    Otherwise a page could have its own name resolved to this machine, and its visitors' browsers call the port as if
    it were that page's (DNS rebinding).
    """

    def __init__(self, public_url: str | None) -> None:
        self._public = None if public_url is None else urlsplit(public_url).hostname

    def allow(self, host: str) -> bool:
        """Whether a request with this `Host` is for us."""
        try:
            parts = urlsplit(f"//{host}")
            name = parts.hostname
        except ValueError:
            return False
        if parts.netloc != host or "@" in host or "\\" in host:
            return False  # more than a name and a port, which readers take apart in different ways
        return name is not None and (name == self._public or is_loopback(name))

    def refusal(self, host: str) -> str:
        """Say why a request is not taken."""
        return (
            f"Host: {host or 'none'} is not this server's name; call it by a name of this machine"
            f"{'' if self._public is None else f' or as {self._public}'}, or set IMAGEBATCH_PUBLIC_URL"
        )


def is_loopback(name: str) -> bool:
    """Whether a host's name or address is this machine's for itself alone."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Origins:
    """The web pages that may call the port (CORS), by their origins; `*` is every page."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def allow(self, exchange: Exchange) -> bool:
        """Tell the browser what the page may do; answers whether the request was a question about that alone."""
        origin = exchange.headers.get("origin")
        if self._origins:
            exchange.response_headers["vary"] = "origin"
        if origin is None or not (self._origins & {origin, ANY}):
            return False
        exchange.response_headers["access-control-allow-origin"] = origin
        exchange.response_headers["access-control-expose-headers"] = _EXPOSED
        if exchange.method != "OPTIONS" or "access-control-request-method" not in exchange.headers:
            return False
        exchange.response_headers["access-control-allow-methods"] = _METHODS
        exchange.response_headers["access-control-allow-headers"] = exchange.headers.get(
            "access-control-request-headers", ""
        )
        exchange.response_headers["access-control-max-age"] = str(_MAX_AGE_S)
        return True
