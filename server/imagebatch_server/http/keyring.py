"""The keys that URLs are signed with: in the database, so that all servers know them, and turned over."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from imagebatch_server.batches.model import SigningKey
from imagebatch_server.batches.ports.objects import SigningKeys

LOOK_EVERY_S = 60.0

KNOWN_AFTER = timedelta(seconds=3 * LOOK_EVERY_S)
"""A key signs once every server has had time to see it."""

TURNED_OVER_AFTER = timedelta(days=30)

KEPT_FOR = timedelta(days=8)
"""How long a key is kept when the next one has been made: longer than any URL is good."""

SECRET_BYTES = 32


class Keyring:
    """The keys that count now, and the one that signs. A loop; `open` comes before."""

    name = "signing_keys"

    def __init__(self, store: SigningKeys, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now
        self._secrets: dict[str, bytes] = {}
        self._current: tuple[str, bytes] | None = None

    @property
    def current(self) -> tuple[str, bytes]:
        """The id and the secret of the key that signs."""
        if self._current is None:
            raise RuntimeError("the keyring was not opened")
        return self._current

    def secret(self, key_id: str) -> bytes | None:
        """Answer the secret of a key; None if there is no such key, or no longer."""
        return self._secrets.get(key_id)

    async def open(self) -> None:
        """Read the keys, and make the first if there is none. Raises StoreUnavailable."""
        await self._look()

    async def step(self) -> None:
        """Look again, a while later."""
        await asyncio.sleep(LOOK_EVERY_S)
        await self._look()

    async def _look(self) -> None:
        now = self._now()
        keys = await self._store.read()
        if not keys or keys[-1].created_at < now - TURNED_OVER_AFTER:
            following = keys[-1].number + 1 if keys else 1
            # Another server may have made the same number a moment ago; then that one counts.
            await self._store.add(SigningKey(following, secrets.token_bytes(SECRET_BYTES), now))
            keys = await self._store.read()
        over = [key.number for key, following in pairwise(keys) if following.created_at < now - KEPT_FOR]
        if over:
            await self._store.remove(over)
            keys = [key for key in keys if key.number not in over]
        known = [key for key in keys if key.created_at <= now - KNOWN_AFTER] or keys[:1]
        self._secrets = {str(key.number): key.secret for key in keys}
        self._current = str(known[-1].number), known[-1].secret
