"""How often a tenant may call: a bucket that fills at the tenant's rate, and of which each call takes one.

Strangers, who are of no tenant, have a bucket for each address.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from imagebatch_server.access.principal import NO_TENANT, Principal
from imagebatch_server.batches.errors import Limit, LimitExceeded
from imagebatch_server.batches.quotas import QuotasOf

MOST_BUCKETS = 10_000
"""Past it those that are full are dropped: they are as good as new ones."""

_LIMIT = "max_requests_per_s"
_SETTING = "IMAGEBATCH_MAX_REQUESTS_PER_S"


_Caller = tuple[str, str]
"""A tenant; or none, and the address of a stranger."""


@dataclass(slots=True)
class _Bucket:
    """What was in it at a time, and what was asked of it since it was last full."""

    filled: float
    at: float
    full_at: float
    asked: int = 0

    def fill(self, rate: float, burst: float, now: float) -> None:
        """Let in what has come since."""
        self.filled = min(burst, self.filled + (now - self.at) * rate)
        self.at = now
        if self.filled == burst:
            self.full_at, self.asked = now, 0


class RequestRates:
    """Buckets of those that have a quota of requests. Of one server: where there are several, each has its own."""

    def __init__(
        self, quotas: QuotasOf, on_refused: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._quotas = quotas
        self._on_refused = on_refused
        self._now = now
        self._buckets: dict[_Caller, _Bucket] = {}

    def take(self, principal: Principal) -> None:
        """Count a call of its tenant, or address. Raises LimitExceeded, which tells when the next one is taken."""
        tenant, now = principal.tenant, self._now()
        caller = (tenant, "" if tenant != NO_TENANT else principal.name)
        quotas = self._quotas(tenant)
        rate = quotas.max_requests_per_s
        if rate is None:
            return
        burst = float(quotas.max_requests_burst or max(1.0, rate))
        bucket = self._buckets.get(caller) or self._make(caller, burst, now)
        bucket.fill(rate, burst, now)
        bucket.asked += 1
        if bucket.filled >= 1:
            bucket.filled -= 1
            return
        self._on_refused(_LIMIT)
        observed = round(bucket.asked / max(now - bucket.full_at, 0.001), 1)
        raise LimitExceeded(
            Limit(_LIMIT, rate, observed, _SETTING),
            f"{_named(principal)} calls {observed:g} times a second, and may call {rate:g} times on the average; "
            f"call less often, or have {_SETTING} raised, for a tenant perhaps alone (--tenants-file)",
            retry_after_s=(1 - bucket.filled) / rate,
        )

    def _make(self, caller: _Caller, burst: float, now: float) -> _Bucket:
        if len(self._buckets) >= MOST_BUCKETS:
            self._buckets = {each: bucket for each, bucket in self._buckets.items() if not self._is_full(each, bucket)}
        bucket = self._buckets[caller] = _Bucket(burst, now, now)
        return bucket

    def _is_full(self, caller: _Caller, bucket: _Bucket) -> bool:
        quotas = self._quotas(caller[0])
        rate = quotas.max_requests_per_s
        if rate is None:
            return True
        burst = float(quotas.max_requests_burst or max(1.0, rate))
        return bucket.filled + (self._now() - bucket.at) * rate >= burst


def _named(principal: Principal) -> str:
    return f"tenant {principal.tenant}" if principal.tenant != NO_TENANT else f"address {principal.name}"
