"""Which URLs may be fetched: the server must not become a way into the network that it stands in."""

from __future__ import annotations

from collections.abc import Iterable

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import urls
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.addresses import METADATA, Address, Network, parse, why_forbidden
from imagebatch_server.urls import BadUrl, NotWeb, WebUrl, shown

HOSTS_SETTING = "IMAGEBATCH_FETCH_ALLOWED_HOSTS"
NETWORKS_SETTING = "IMAGEBATCH_FETCH_ALLOWED_NETWORKS"


class ForbiddenAddress(OSError):
    """An address refused at the moment of connecting; an OSError, because that is what connecting may raise.

    Its text is the caller's, who learns nothing of what a name inside stands for; the rest is for the operator.
    """

    def __init__(self, host: str, address: str, kind: str) -> None:
        is_known = host == address or _is_localhost(host)
        super().__init__(f"host {host} is {'' if is_known else 'at '}no public address; {_remedy(kind, is_known)}")
        self.host = host
        self.address = address
        self.kind = kind


class ForbiddenHost(ItemError):
    """The item's error for a forbidden address."""

    def __init__(self, refused: ForbiddenAddress) -> None:
        super().__init__(ItemErrorCode.FETCH_FORBIDDEN, str(refused))
        self.host = refused.host
        self.address = refused.address
        self.kind = refused.kind


class Guard:
    """Refuse URLs and addresses, except the hosts and networks that the operator opened.

    `allowed_hosts` are names or addresses without scheme and port; a name opens itself, and not its subdomains.
    Raises ValueError for what is none, because it would open nothing and nobody would know why.
    """

    def __init__(self, allowed_hosts: Iterable[str] = (), allowed_networks: Iterable[Network] = ()) -> None:
        self._hosts = frozenset(host_alone(host) for host in allowed_hosts)
        self._networks = tuple(allowed_networks)

    def check_url(self, text: str, base: WebUrl | None = None) -> WebUrl:
        """Read a URL, one that may be relative to `base`, and refuse an address that is forbidden.

        Raises ItemError: FETCH_FORBIDDEN for another scheme and a forbidden address, FETCH_FAILED for what leads
        nowhere. A host that is a name passes here and is judged by its addresses.
        """
        try:
            url = urls.read(text, base)
        except BadUrl as error:
            is_forbidden = isinstance(error, NotWeb)  # such as file:, which must not be taken for a mistake
            code = ItemErrorCode.FETCH_FORBIDDEN if is_forbidden else ItemErrorCode.FETCH_FAILED
            what = "the URL" if base is None else f"the redirect from {shown(base)} to"
            raise ItemError(code, f"{what} {shown(text)} {error}") from None
        if url.address is not None:
            self.check_answer(url.host, [url.host])
        return url

    def check_redirect(self, base: WebUrl, location: str) -> WebUrl:
        """Read where a redirect leads to. Raises ItemError like `check_url`.

        Bytes that are not ASCII, which Python's HTTP hands on as they came, are taken for parts of UTF-8.
        """
        raw = location.encode("utf-8", "surrogateescape")
        return self.check_url("".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw), base)

    def check_answer(self, host: str, addresses: Iterable[str]) -> None:
        """Refuse a name if any of the addresses it resolves to is forbidden. Raises ForbiddenHost."""
        for address in addresses:
            try:
                self.check_address(host, address)
            except ForbiddenAddress as error:
                raise ForbiddenHost(error) from None

    def check_address(self, host: str, text: str) -> None:
        """Refuse one address that is about to be connected to for `host`. Raises ForbiddenAddress."""
        address = parse(text)
        kind = why_forbidden(address)
        if kind is not None and not self._is_open(host, address):
            raise ForbiddenAddress(host, text, kind)

    def _is_open(self, host: str, address: Address) -> bool:
        if address in METADATA:  # never by the way, as a part of a larger network
            return any(network.num_addresses == 1 and address in network for network in self._networks)
        return host.removesuffix(".") in self._hosts or any(address in network for network in self._networks)


def operators_remedy(host: str, kind: str) -> str:
    """Say how an operator opens a forbidden host; empty for metadata, which hands out credentials."""
    if "metadata" in kind:
        return ""
    return f"if callers are to fetch from it, add {host} to {HOSTS_SETTING} or its network to {NETWORKS_SETTING}"


def host_alone(text: str) -> str:
    """Read a setting that names one host, a name or an address, as URLs name it. Raises ValueError if it doesn't."""
    name = text.strip()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    problem = ValueError(f"{text!r} is no host; give names or addresses without scheme, port, path or wildcard")
    if name.count(":") == 1 or any(letter in name for letter in "/\\?#@*%[]"):
        raise problem
    try:
        return urls.read(f"http://[{name}]/" if ":" in name else f"http://{name}/").host.removesuffix(".")
    except BadUrl:
        raise problem from None


def _is_localhost(host: str) -> bool:
    name = host.removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def _remedy(kind: str, is_known: bool) -> str:
    if "metadata" in kind or not is_known:
        return "give the image's public URL, or upload the image"
    return (
        "upload the image, or have the server's operator open the host "
        f"(the host in {HOSTS_SETTING}, or its network in {NETWORKS_SETTING})"
    )
