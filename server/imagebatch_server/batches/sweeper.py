"""Removing images that nobody needs any more, and only those of which the database itself says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from imagebatch_server.batches.ports.objects import ObjectRows, SweptBlobStore

log = structlog.get_logger(__name__)

OBJECTS_A_STEP = 200
UNREFERENCED_FOR = timedelta(days=1)
"""An object that nothing refers to is kept so long, for a batch that is still to be submitted."""

ALWAYS_SET_ASIDE = 10
"""So few unknown blobs are leftovers of cut submits, whatever their share is."""

SET_ASIDE_A_SWEEP = 10_000
KEYS_A_READ = 1_000


class Sweeper:
    """Removes objects that nothing refers to, and sets blobs aside that the database does not know.

    A blob without a row may be what a cut submit left. It may also be all that is left of an image whose row is in
    another database, or in a newer one than the backup that was restored: it is put back as soon as its row is there.
    """

    def __init__(
        self,
        objects: ObjectRows,
        blobs: SweptBlobStore,
        *,
        quarantine: timedelta,
        max_share: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`quarantine` is how long a blob stays set aside; above `max_share` (0 to 1) of all blobs none is."""
        self._objects = objects
        self._blobs = blobs
        self._quarantine = quarantine
        self._max_share = max_share
        self._now = now
        self.quarantined = 0
        """Blobs that are set aside."""
        self.refused = 0
        """Blobs that were too many to be set aside in the last sweep."""
        self.missing = 0
        """Objects whose blobs were not there when they were last looked for."""
        self._looked_after = ""
        self._missing_so_far = 0

    async def sweep(self) -> None:
        """Do all of it once. Raises StoreUnavailable."""
        await self._remove_unreferenced()
        await self._remove_blobs()
        await self.review_quarantine()
        await self._set_unknown_aside()
        await self._look_for_missing()

    async def review_quarantine(self) -> None:
        """Put back blobs whose rows are there, and remove those whose time is up. Raises StoreUnavailable."""
        expired_before = self._now() - self._quarantine
        put_back, removed, kept = 0, 0, 0
        async for part in self._blobs.quarantined():
            known = await self._objects.known([blob.key for blob in part])
            await self._blobs.put_back(list(known))
            unknown = [blob for blob in part if blob.key not in known]
            expired = [blob.key for blob in unknown if blob.since < expired_before]
            await self._blobs.discard(expired)
            put_back, removed, kept = put_back + len(known), removed + len(expired), kept + len(unknown) - len(expired)
        self.quarantined = kept
        if put_back:
            log.warning("sweeper.blobs_put_back", blobs=put_back)
        if removed:
            log.info("sweeper.quarantine_expired", blobs=removed)

    async def _remove_unreferenced(self) -> None:
        """Rows go before blobs: a row without its blob would promise what is not there."""
        before = self._now() - UNREFERENCED_FOR
        last_key = ""
        while keys := await self._objects.unreferenced(before, OBJECTS_A_STEP, last_key):
            removed = await self._objects.remove(keys, before)
            log.info("sweeper.objects_removed", objects=len(removed))
            last_key = keys[-1]

    async def _remove_blobs(self) -> None:
        """Their rows left their keys behind, which stay until the blobs are gone: no listing has to find them."""
        while keys := await self._objects.removed(OBJECTS_A_STEP):
            await self._blobs.delete(keys)
            await self._objects.forget_removed(keys)

    async def _set_unknown_aside(self) -> None:
        before = self._now() - UNREFERENCED_FOR
        blobs, unknown = 0, 0
        chosen: list[str] = []
        async for part in self._blobs.listing():
            blobs += len(part)
            old = [blob.key for blob in part if blob.since < before]
            known = await self._objects.known(old)
            unknown += len(old) - len(known)
            chosen += [key for key in old if key not in known][: SET_ASIDE_A_SWEEP - len(chosen)]
        if unknown > max(ALWAYS_SET_ASIDE, self._max_share * blobs):
            if unknown != self.refused:
                log.error("sweeper.refused", unknown=unknown, blobs=blobs, max_share=self._max_share)
            self.refused = unknown
            return
        self.refused = 0
        if chosen:
            await self._blobs.quarantine(chosen)
            self.quarantined += len(chosen)
            log.warning("sweeper.blobs_quarantined", blobs=len(chosen), for_s=self._quarantine.total_seconds())

    async def _look_for_missing(self) -> None:
        most = self._blobs.most_looked_for  # the next sweep goes on behind them
        keys_a_read = min(most, KEYS_A_READ)
        for _ in range(0, most, keys_a_read):
            keys = await self._objects.keys(self._looked_after, keys_a_read)
            missing = await self._blobs.missing(keys)
            if missing:  # unless they were removed since the read
                self._missing_so_far += len(await self._objects.known(missing))
            if len(keys) == keys_a_read:
                self._looked_after = keys[-1]
                continue
            if self._missing_so_far > self.missing:
                log.error("sweeper.blobs_missing", blobs=self._missing_so_far)
            self.missing, self._missing_so_far, self._looked_after = self._missing_so_far, 0, ""
            return
