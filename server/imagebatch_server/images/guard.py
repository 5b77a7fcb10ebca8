"""Which URLs may be fetched: the server must not become a way into the network that it stands in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

import idna
from yarl import URL

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.addresses import METADATA, Address, Network, parse, why_forbidden

HOSTS_SETTING = "IMAGEBATCH_FETCH_ALLOWED_HOSTS"
NETWORKS_SETTING = "IMAGEBATCH_FETCH_ALLOWED_NETWORKS"

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*):(?://(?P<authority>[^/?#]*))?(?P<rest>[^#]*)", re.IGNORECASE | re.DOTALL
)
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_LOOKS_NUMERIC = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")
_KEPT = "!$%&'()*+,/:;=?@[]~"
"""What stays as it is in a path and a query: a signed URL is only valid byte by byte."""


class ForbiddenAddress(OSError):
    """An address refused at the moment of connecting; an OSError, because that is what connecting may raise."""


class Guard:
    """Refuses URLs and addresses, except the hosts and networks that the operator opened.

    `allowed_hosts` are names or addresses without scheme and port; a name opens itself, and not its subdomains.
    Raises ValueError for what is none, because it would open nothing and nobody would know why.
    """

    def __init__(self, allowed_hosts: Iterable[str] = (), allowed_networks: Iterable[Network] = ()) -> None:
        self._hosts = frozenset(_opened(host) for host in allowed_hosts)
        self._networks = tuple(allowed_networks)

    def check_url(self, url: str) -> URL:
        """The URL to ask for, in the one spelling that every parser reads alike.

        Raises ItemError with FETCH_FORBIDDEN. A host that is a name passes here and is judged by its addresses.
        """
        if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in url) or "\\" in url:
            raise _refused(url, "holds control characters or backslashes; encode them as %XX")
        match = _URL.fullmatch(url.partition("#")[0])
        scheme = "" if match is None else match["scheme"].lower()
        if match is None or scheme not in ("http", "https"):
            raise _refused(url, "is no http or https URL; give one, or upload the image")
        if not match["authority"]:
            raise _refused(url, "names no host; write it as https://host/path")
        host, port = self._authority(url, match["authority"])
        rest = quote(match["rest"], safe=_KEPT)
        shown = f"[{host}]" if ":" in host else host
        return URL(f"{scheme}://{shown}{port}{rest if rest.startswith('/') else '/' + rest}", encoded=True)

    def check_redirect(self, base: URL, location: str) -> URL:
        """The URL that a redirect leads to. Raises ItemError with FETCH_FORBIDDEN."""
        if any(ord(character) < 0x21 for character in location) or "\\" in location:
            raise _refused(str(base), "redirects to a URL with blanks, control characters or backslashes")
        return self.check_url(urljoin(str(base), location))

    def check_answer(self, host: str, addresses: Iterable[str]) -> None:
        """Refuse a name if any of the addresses it resolves to is forbidden.

        Raises ItemError with FETCH_FORBIDDEN.
        """
        for address in addresses:
            try:
                self.check_address(host, address)
            except ForbiddenAddress as error:
                raise ItemError(ItemErrorCode.FETCH_FORBIDDEN, str(error)) from error

    def check_address(self, host: str, text: str) -> None:
        """Refuse one address that is about to be connected to for `host`. Raises ForbiddenAddress."""
        address = parse(text)
        kind = why_forbidden(address)
        if kind is None or self._is_open(host, address):
            return
        raise ForbiddenAddress(
            f"host {host} is at {text}, which is no public address ({kind}); upload the image, "
            f"or have the operator add the host to {HOSTS_SETTING} or its network to {NETWORKS_SETTING}"
        )

    def _is_open(self, host: str, address: Address) -> bool:
        if address in METADATA:  # never by the way, as a part of a larger network
            return any(network.num_addresses == 1 and address in network for network in self._networks)
        return host.rstrip(".") in self._hosts or any(address in network for network in self._networks)

    def _authority(self, url: str, authority: str) -> tuple[str, str]:
        if "@" in authority:
            raise _refused(url, "holds a user name or an @ before the host; leave it out")
        bracketed = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::([0-9]*))?", authority)
        plain = re.fullmatch(r"([^:\[\]%\s]+)(?::([0-9]*))?", authority)
        if bracketed is not None:
            host, port = _ipv6(url, bracketed[1]), bracketed[2]
        elif plain is not None:
            host, port = _host(url, plain[1]), plain[2]
        else:
            raise _refused(url, "has a host or port that parsers read in different ways; write https://host:port/path")
        if port and not 0 < int(port[:6]) < 65536:
            raise _refused(url, "has a port outside 1 to 65535")
        if ":" in host or _LOOKS_NUMERIC.fullmatch(host):
            self.check_answer(host, [host])
        return host, f":{int(port)}" if port else ""


def _opened(host: str) -> str:
    name = host.strip().lower().strip("[]").removesuffix(".")
    try:
        return IPv6Address(name).compressed if ":" in name else _host(host, name)
    except (ItemError, ValueError) as error:
        raise ValueError(
            f"{HOSTS_SETTING}: {host!r} is no host; give names or addresses without scheme, port, path or wildcard"
        ) from error


def _ipv6(url: str, text: str) -> str:
    try:
        return IPv6Address(text).compressed
    except ValueError as error:
        raise _refused(url, "has an IPv6 address that is none") from error


def _host(url: str, text: str) -> str:
    host = text.lower()
    if not host.isascii():
        # Strict IDNA: other spellings of digits, letters and dots, such as full-width ones, are refused and not mapped.
        if any(dot in host for dot in "\u3002\uff0e\uff61"):
            raise _refused(url, "has other characters than . as dots in its host")
        try:
            host = idna.encode(host).decode("ascii")
        except idna.IDNAError as error:
            raise _refused(url, "has characters in its host that names can't have") from error
    name = host.removesuffix(".")
    if _LOOKS_NUMERIC.fullmatch(name):
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise _refused(url, "has a host in an unusual numeric form; write IPv4 addresses as 192.0.2.1") from error
    if not _NAME.fullmatch(name):
        raise _refused(url, "has a host that is no valid name")
    return host


def _refused(url: str, why: str) -> ItemError:
    return ItemError(ItemErrorCode.FETCH_FORBIDDEN, f"the URL {shown(url)} {why}")


def shown(url: str) -> str:
    """A URL for messages: no query, no user name, nothing that a terminal would obey, at most 200 characters."""
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    plain = re.sub(r"(?<=//).*@", "", plain, flags=re.DOTALL)
    plain = "".join(character if character.isprintable() else "\ufffd" for character in plain)
    return repr(plain if len(plain) <= 200 else plain[:200] + "...")
