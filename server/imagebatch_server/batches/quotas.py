"""What tenants may have, and what is said where one has as much already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagebatch_server.batches.errors import Limit, LimitExceeded

RETRY_AFTER_S = 5.0
"""When to try again what waits for batches to go on or to end."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What one tenant may have; None is no limit. The fields have the names of settings, and of ServerLimits."""

    weight: float = 1.0
    """Its share of the workers' time beside other tenants'."""
    max_running_batches: int = 1_000
    max_waiting_items: int | None = None
    """Items of running batches without an outcome."""
    max_stored_bytes: int | None = None
    max_requests_per_s: float | None = None
    max_requests_burst: int | None = None
    """Calls at once after a pause; None: as many as come in a second, and one at the least."""
    read_buckets: Sequence[str] = ()
    """URLs of buckets, and of prefixes in them, below which `image_url` may name an image."""
    write_buckets: Sequence[str] = ()
    """Likewise, of those which `output_prefix` may name, or prefixes below them."""

    def check_running(self, running: int) -> None:
        """Raise LimitExceeded if there is no room for a batch beside those that run."""
        most = self.max_running_batches
        if running >= most:
            text = f"{running} batches are running, and the tenant may have {most}; wait for one to end, cancel one"
            raise _exceeded("max_running_batches", most, running, text, retry_after_s=RETRY_AFTER_S)

    def check_waiting(self, waiting: int, new: int) -> None:
        """Raise LimitExceeded if there is no room for new items beside those that wait."""
        most = self.max_waiting_items
        if most is None or waiting + new <= most:
            return
        if new > most:  # which no waiting makes room for
            text = f"{new} items are more than the {most} that the tenant may have waiting; submit smaller batches"
            raise _exceeded("max_waiting_items", most, new, text)
        text = f"{waiting} items are waiting, and the tenant may have {most}, which leaves no room for {new} more; wait"
        raise _exceeded("max_waiting_items", most, waiting + new, text, retry_after_s=RETRY_AFTER_S)

    def check_stored(self, stored: int) -> None:
        """Raise LimitExceeded if so many bytes, those that are coming included, are more than may be stored."""
        most = self.max_stored_bytes
        if most is not None and stored > most:
            text = (
                f"with this the tenant's images have {stored} bytes, and it may store {most}; delete batches that are "
                "not needed any more, whose images go within a day"
            )
            raise _exceeded("max_stored_bytes", most, stored, text)


QuotasOf = Callable[[str], Quotas]
"""Tells a tenant's quotas, as they are now."""


def _exceeded(name: str, most: int, observed: int, text: str, *, retry_after_s: float | None = None) -> LimitExceeded:
    setting = f"IMAGEBATCH_{name.upper()}"
    message = f"{text}; or have {setting} raised, for this tenant perhaps (--tenants-file)"
    return LimitExceeded(Limit(name, most, observed, setting), message, retry_after_s=retry_after_s)
