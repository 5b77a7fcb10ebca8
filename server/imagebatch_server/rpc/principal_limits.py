"""What one caller may have under way at one time, where callers are told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from imagebatch_server.access.principal import ANONYMOUS, Principal
from imagebatch_server.batches.errors import Limit, LimitExceeded
from imagebatch_server.rpc.call import Call

_RETRY_AFTER_S = 1.0

CALLS, STREAMS, CONNECTIONS = "max_calls_per_principal", "max_streams_per_principal", "max_connections_per_principal"
"""The limits, as ServerLimits names them."""
_WHAT = {
    CALLS: "unary calls",
    STREAMS: "watches, uploads, downloads and streamed submits",
    CONNECTIONS: "connections with calls under way",
}

_Key = tuple[str, str]
K = TypeVar("K")


class PrincipalLimits:
    """Count each caller's calls, from when it was let in: those whose request hasn't come yet count, too."""

    def __init__(self, most: Mapping[str, int], on_refused: Callable[[str], None]) -> None:
        """Take the most of CALLS, STREAMS and CONNECTIONS."""
        self._most = most
        self._on_refused = on_refused
        self._under_way: Mapping[str, Counter[_Key]] = {CALLS: Counter(), STREAMS: Counter()}
        self._peers: dict[_Key, Counter[str]] = {}

    @contextmanager
    def take(self, limit: str, call: Call) -> Iterator[None]:
        """Count a call by `limit`, CALLS or STREAMS, while the block runs. Raises LimitExceeded."""
        if call.principal == ANONYMOUS:
            yield
            return
        key = call.principal.tenant, call.principal.name
        counter, peer = self._under_way[limit], call.incoming.peer
        peers = self._peers.get(key, Counter())
        if counter[key] >= self._most[limit]:
            raise self._refusal(limit, call.principal)
        if peer not in peers and len(peers) >= self._most[CONNECTIONS]:
            raise self._refusal(CONNECTIONS, call.principal)
        self._peers[key] = peers
        counter[key] += 1
        peers[peer] += 1
        try:
            yield
        finally:
            _uncount(counter, key)
            _uncount(peers, peer)
            if not peers:
                del self._peers[key]

    def _refusal(self, limit: str, principal: Principal) -> LimitExceeded:
        self._on_refused(limit)
        most, setting = self._most[limit], f"IMAGEBATCH_{limit.upper()}"
        return LimitExceeded(
            Limit(limit, most, most + 1, setting),
            f"{principal.name} has {most} {_WHAT[limit]}, the most of one caller; end some, or raise {setting}",
            retry_after_s=_RETRY_AFTER_S,
        )


def _uncount(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
