"""One call, whatever it came by: as it came in, and as servicers are told of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from imagebatch_server.access.certificate import Certificate
from imagebatch_server.access.credentials import AUTHORIZATION, TENANT, Credentials
from imagebatch_server.access.principal import Principal


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A call before it is known who makes it."""

    peer: str
    """The other end of the connection as gRPC names it, such as `ipv4:127.0.0.1:40312`."""
    metadata: Mapping[str, str]
    """Of gRPC, or the headers of HTTP: names in lower case, repeated ones `joined`."""
    certificate: Certificate | None = None
    """What the peer showed, if the server's client authority has signed it."""

    @property
    def credentials(self) -> Credentials:
        """What the caller shows of itself."""
        return Credentials(
            host_of(self.peer), self.metadata.get(AUTHORIZATION), self.metadata.get(TENANT), self.certificate
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was let in: who makes it, and what servicers are told besides the request."""

    rpc: str
    """The rpc's name, such as `SubmitBatch`."""
    incoming: IncomingCall
    principal: Principal
    traceparent: str | None = None
    """The trace that what it asks for belongs to, if there is one."""

    @property
    def tenant(self) -> str:
        """Whose batches and objects the call may touch."""
        return self.principal.tenant


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join what is said several times under one name by commas, as RFC 9110 reads it.

    So who shows two tokens, or names two tenants, has shown none that counts: there is no order in which one wins.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def host_of(peer: str) -> str:
    """Tell a peer's address without the port. Of IPv6 it is the network: whoever has one address has all of a /64."""
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]")
    if kind == "ipv6":
        try:
            return str(ipaddress.ip_network(f"{host.partition('%')[0]}/64", strict=False))
        except ValueError:
            return host
    return host or peer
