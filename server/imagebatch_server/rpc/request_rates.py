"""How often a tenant may call: a bucket that fills at the tenant's rate, and of which each call takes one.

Where there are several servers, each has an idea of the one bucket that the tenant has. It lets in the part of the rate
that its callers ask for, beside what is asked of others, and takes out what others say to have taken beyond theirs. So
whoever calls one server alone has all that the tenant may have there, and all servers together give no more than that,
but for what they give in the second or two before they hear of each other, which they make up for.

Strangers, who are of no tenant, have a bucket for each address, at each server.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from imagebatch_server.access.principal import NO_TENANT, Principal
from imagebatch_server.batches.errors import Limit, LimitExceeded
from imagebatch_server.batches.model import LiveServer, TenantCalls
from imagebatch_server.batches.quotas import Quotas, QuotasOf

MOST_BUCKETS = 10_000
"""Past it those that are full are dropped: they are as good as new ones."""

EXCHANGE_S = 1.0
"""So often servers hear of each other, and what they hear may be `LATE_S` old."""
LATE_S = 2.0

MEMORY_S = 1.5
"""How far back it is looked to say how often a tenant calls."""

LEAST_TOLD = 0.05
"""Of its rate, so often a tenant asks whose calls are told to other servers; of fewer they would hardly take note."""

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
    asked_per_s: float = 0.0
    """Of this server, lately."""
    taken: int = 0
    """Calls that this server has let in."""
    others_ask_per_s: float = 0.0
    left_to_others: float = 0.0
    """What they may take without its being taken out."""
    told: Mapping[str, int] = field(default_factory=dict)
    """By server, the calls that it said to have let in."""

    def fill(self, rate: float, burst: float, now: float) -> None:
        """Let in what has come since, but for what is left to others."""
        passed_s, self.at = now - self.at, now
        self.asked_per_s *= math.exp(-passed_s / MEMORY_S)
        part = self._part(rate)
        to_others_per_s = rate * (1 - part)
        self.left_to_others = min(self.left_to_others + passed_s * to_others_per_s, LATE_S * to_others_per_s + 1)
        self.filled = min(burst, self.filled + passed_s * rate * part)
        if self.filled == burst:
            self.full_at, self.asked = now, 0

    def ask(self) -> None:
        """Count a call, whether or not it is let in."""
        self.asked += 1
        self.asked_per_s += 1 / MEMORY_S

    def take(self) -> None:
        """Let a call in."""
        self.filled -= 1
        self.taken += 1

    def wait_s(self, rate: float) -> float:
        """Tell when there is enough for a call, as far as can be said: others may ask for less soon."""
        missing = 1 - self.filled
        return min(missing / (rate * self._part(rate)), missing / rate + EXCHANGE_S)

    def hear(self, others: Mapping[str, TenantCalls], rate: float, burst: float) -> None:
        """Take out what others have taken beyond what was left to them.

        A debt is made up for by all, each its part, and only as far as it takes some seconds.
        """
        taken = sum(max(0, calls.taken - self.told.get(name, calls.taken)) for name, calls in others.items())
        self.told = {name: calls.taken for name, calls in others.items()}
        self.others_ask_per_s = sum(calls.asked_per_s for calls in others.values())
        too_much = taken - self.left_to_others
        self.left_to_others = max(0.0, -too_much)
        if too_much > 0:
            part, there = self._part(rate), max(0.0, min(self.filled, too_much))
            self.filled = max(self.filled - there - (too_much - there) * part, -part * (LATE_S * rate + burst))

    def _part(self, rate: float) -> float:
        return _part(self.asked_per_s, self.others_ask_per_s, rate)


def _part(own: float, others: float, rate: float) -> float:
    """Tell which part of a rate is a server's: by what is asked, and all that others don't ask for."""
    return max(own / (own + others), 1 - others / rate) if others else 1.0


class RequestRates:
    """Buckets of those that have a quota of requests."""

    def __init__(
        self, quotas: QuotasOf, on_refused: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._quotas = quotas
        self._on_refused = on_refused
        self._now = now
        self._buckets: dict[_Caller, _Bucket] = {}
        self._others: Mapping[str, Mapping[str, TenantCalls]] = {}
        """By tenant and server, what others told last."""

    def take(self, principal: Principal) -> None:
        """Count a call of its tenant, or address. Raises LimitExceeded, which tells when the next one is taken."""
        tenant, now = principal.tenant, self._now()
        caller = (tenant, "" if tenant != NO_TENANT else principal.name)
        quotas = self._quotas(tenant)
        rate = quotas.max_requests_per_s
        if rate is None:
            return
        burst = _burst(quotas, rate)
        bucket = self._buckets.get(caller) or self._make(caller, rate, burst, now)
        bucket.fill(rate, burst, now)
        bucket.ask()
        if bucket.filled >= 1:
            bucket.take()
            return
        self._on_refused(_LIMIT)
        observed = round(bucket.asked / max(now - bucket.full_at, 0.001), 1)
        raise LimitExceeded(
            Limit(_LIMIT, rate, observed, _SETTING),
            f"{_named(principal)} calls {observed:g} times a second, and may call {rate:g} times on the average; "
            f"call less often, or have {_SETTING} raised, for a tenant perhaps alone (--tenants-file)",
            retry_after_s=bucket.wait_s(rate),
        )

    def exchange(self, others: Iterable[LiveServer]) -> Mapping[str, TenantCalls]:
        """Take in what the other servers tell of tenants' calls, and answer what to tell them; once a second or so."""
        told: dict[str, dict[str, TenantCalls]] = {}
        for server in others:
            for tenant, calls in server.calls.items():
                told.setdefault(tenant, {})[server.server_id] = calls
        self._others = told
        now, own = self._now(), {}
        for (tenant, _), bucket in self._buckets.items():
            quotas = self._quotas(tenant)
            rate = None if tenant == NO_TENANT else quotas.max_requests_per_s
            if rate is None:
                continue
            burst = _burst(quotas, rate)
            bucket.fill(rate, burst, now)
            bucket.hear(told.get(tenant, {}), rate, burst)
            if bucket.asked_per_s >= LEAST_TOLD * rate:
                own[tenant] = TenantCalls(round(bucket.asked_per_s, 3), bucket.taken)
        return own

    def _make(self, caller: _Caller, rate: float, burst: float, now: float) -> _Bucket:
        if len(self._buckets) >= MOST_BUCKETS:
            self._buckets = {each: bucket for each, bucket in self._buckets.items() if not self._is_full(each, bucket)}
        others = self._others.get(caller[0], {})
        asked_per_s = sum(calls.asked_per_s for calls in others.values())
        filled = max(1.0, burst * _part(1 / MEMORY_S, asked_per_s, rate))  # what others have taken of it is not known
        told = {name: calls.taken for name, calls in others.items()}
        bucket = self._buckets[caller] = _Bucket(filled, now, now, others_ask_per_s=asked_per_s, told=told)
        return bucket

    def _is_full(self, caller: _Caller, bucket: _Bucket) -> bool:
        quotas = self._quotas(caller[0])
        rate = quotas.max_requests_per_s
        if rate is None:
            return True
        return bucket.filled + (self._now() - bucket.at) * rate >= _burst(quotas, rate)


def _burst(quotas: Quotas, rate: float) -> float:
    return float(quotas.max_requests_burst or max(1.0, rate))


def _named(principal: Principal) -> str:
    return f"tenant {principal.tenant}" if principal.tenant != NO_TENANT else f"address {principal.name}"
