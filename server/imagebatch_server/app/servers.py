"""A server's place: its data folder, its database, and the other servers there, if there can be any.

Its name is one that no server has had: what an earlier start of it owned is taken over like another's.
"""

from __future__ import annotations

import socket
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import uuid_utils

from imagebatch_server.app.folder import DataFolder
from imagebatch_server.app.objects import object_store_place
from imagebatch_server.app.settings import Settings
from imagebatch_server.app.store import opened_store
from imagebatch_server.app.waiting import patiently
from imagebatch_server.batches.claim import Claim
from imagebatch_server.batches.only_server import OnlyServer
from imagebatch_server.batches.ports.servers import Servers
from imagebatch_server.store.database import Database
from imagebatch_server.store.membership import Membership
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.pairing import pair
from imagebatch_server.store.server_lock import ServerLock
from imagebatch_server.store.servers import ServerName


@dataclass(frozen=True, slots=True)
class Place:
    """What a server works on, who it is there, and who else is."""

    folder: DataFolder
    database: Database
    claim: Claim
    servers: Servers


@asynccontextmanager
async def place_among_servers(settings: Settings, operations: Sequence[str]) -> AsyncIterator[Place]:
    """Take a place among the servers of the data folder and the database, made ready if needed, while the block runs.

    A database that is away is waited for for `start_patience_s`. Raises CannotStart, StoreUnavailable, OSError.
    """
    async with opened_store(settings) as (folder, database):
        claim = Claim(owner=f"{socket.gethostname()}-{uuid_utils.uuid7()}", operations=operations)
        number = _lock_number(claim.owner)
        patient = partial(patiently, patience_s=settings.start_patience_s, address=settings.address)
        lock: ServerLock | None = await patient(partial(database.lock_shared, number))
        await patient(partial(migrate, database, partial(pair, place=object_store_place(settings, folder.objects))))
        if lock is None:
            yield Place(folder, database, claim, OnlyServer(claim))
            return
        name = ServerName(claim.owner, number, version("imagebatch"), operations)
        membership = Membership(lock, name, ttl_s=settings.lease_s)
        await membership.join()
        try:
            yield Place(folder, database, claim, membership)
        finally:
            await membership.leave()


def _lock_number(server_id: str) -> int:
    """Make the number of a server's own lock, of 31 bits; that two have one only hides the crash of one of them."""
    return zlib.crc32(server_id.encode()) >> 1
