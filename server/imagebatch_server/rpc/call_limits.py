"""Which calls are taken, and for how long a caller may keep the server waiting."""

from __future__ import annotations

from dataclasses import dataclass

from imagebatch_server.rpc.connections import Connections
from imagebatch_server.rpc.principal_limits import PrincipalLimits
from imagebatch_server.rpc.receiving import Receiving
from imagebatch_server.rpc.request_memory import RequestMemory
from imagebatch_server.rpc.request_rates import RequestRates
from imagebatch_server.rpc.slots import Slots
from imagebatch_server.rpc.transfers import Transfers


@dataclass(frozen=True)
class CallLimits:
    """The bounds on calls of each kind, and on the connections that they come by."""

    calls: Slots
    watches: Slots
    transfers: Transfers
    connections: Connections
    principals: PrincipalLimits
    rates: RequestRates
    memory: RequestMemory
    receiving: Receiving
