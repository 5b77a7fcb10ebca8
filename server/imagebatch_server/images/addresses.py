"""Which IP addresses belong to nobody's public host: a pure table, with the disguises of IPv4 in IPv6 taken off.

`ipaddress.is_global` is no help: it says True for `::127.0.0.1`, `64:ff9b::a9fe:a9fe`, `2002:7f00:1::`, `fec0::1`,
`ff02::1` and `168.63.129.16`, and its answers change between Python's versions.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google Cloud, Oracle, DigitalOcean and most others
        "169.254.170.2",  # AWS, credentials of a container
        "169.254.170.23",  # AWS, credentials of a pod
        "169.254.0.23",  # Tencent
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's host
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, credentials of a pod
        "fd20:ce::254",  # Google Cloud
        "fd00:42::42",  # Scaleway
    )
)
"""Where clouds hand credentials to whoever asks from inside."""

_IPV4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_IPV6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "NAT64 of a private network"),  # where in it the IPv4 address stands, only its owner knows
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_WITH_IPV4_LAST = (
    (IPv6Network("::/96"), "IPv4-compatible"),
    (_MAPPED, "IPv4-mapped"),
    (IPv6Network("::ffff:0:0:0/96"), "IPv4-translated"),
    (_NAT64, "NAT64"),
)
_6TO4 = IPv6Network("2002::/16")
_UNICAST = IPv6Network("2000::/3")


@lru_cache(1024)
def parse(text: str) -> Address:
    """Read an address as resolvers give it, without a zone and an IPv4-mapped form. Raises ValueError."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # the socket connects to that IPv4 address, so rules for it apply
    return address


@lru_cache(1024)
def why_forbidden(address: Address) -> str | None:
    """Say what kind of address it is, such as 'loopback', if it is no public host's; else None."""
    if address in METADATA:
        return "cloud metadata"
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _IPV4 if address in network), None)
    kind = next((kind for network, kind in _IPV6 if address in network), None)
    if kind is not None:
        return kind
    disguise = _embedded(address)
    if disguise is not None:
        form, inner = disguise
        inner_kind = why_forbidden(inner)
        if inner_kind is not None:
            return f"{form} form of {inner}, {inner_kind}"
    return None if address in _UNICAST or address in _NAT64 else "reserved"


def _embedded(address: IPv6Address) -> tuple[str, IPv4Address] | None:
    packed = address.packed
    for network, form in _WITH_IPV4_LAST:
        if address in network:
            return form, IPv4Address(packed[12:])
    if address in _6TO4:
        return "6to4", IPv4Address(packed[2:6])
    if packed[8] & 0xFC == 0 and packed[9:12] == b"\0\x5e\xfe":  # two bits of the first byte are flags
        return "ISATAP", IPv4Address(packed[12:])
    return None
