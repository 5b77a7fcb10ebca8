"""Whether a port may be opened as it is configured: what others can reach needs TLS, and asks who calls."""

from __future__ import annotations

import ipaddress
import socket

from imagebatch_server.batches.errors import SettingsClash


def check_exposed(
    option: str, address: str, *, has_tls: bool, asks: bool, plaintext_ok: bool, anonymous_ok: bool
) -> None:
    """Let an address (`host:port`, given by `option`) be listened on. Raises SettingsClash, naming the settings."""
    if is_loopback(address):
        return
    missing = []
    if not has_tls and not plaintext_ok:
        missing.append(
            "nothing that is sent would be secret: give --tls-certificate and --tls-key, or --insecure-plaintext where "
            "a mesh or a private network takes care of that"
        )
    if not asks and not anonymous_ok:
        missing.append(
            "anybody could call: give --access-file (`imagebatch token create` writes one) or --openid-issuer, or "
            "--insecure-anonymous where something before the server tells who may"
        )
    if missing:
        raise SettingsClash(f"{option} {address} can be reached from other machines. " + "; and ".join(missing))


def is_loopback(address: str) -> bool:
    """Whether an address can be reached from this machine alone; what can't be resolved can't be listened on either."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        # Passive: no host is all of this machine's addresses, as it is where one listens.
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return True
    return all(_loops(str(each[4][0])) for each in found)


def _loops(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback
