"""The process's file descriptors: as many as the system allows, and a reserve that no caller can use up."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.rpc.connections import NEWCOMERS

WANTED = 65_536
"""More than any default needs; a limit of millions would only make it slow to start children."""

_OWN = 128
"""The database, its log, blobs that are read and written, the event loop, the listening socket."""
_A_WORKER = 16
_A_FETCH = 2
_LEAST_FOR_CALLERS = 64
_TRANSFERS_SHARE = 6
"""One descriptor in so many of the callers' is for a transfer's file, the others are for connections."""


class TooFewDescriptors(CannotStart):
    """The limit on open files leaves nothing for callers; the message says what would do."""


@dataclass(frozen=True)
class Descriptors:
    """How the limit on open files is shared out."""

    limit: int
    reserved: int
    connections: int
    transfers: int


def raise_limit() -> int:
    """Raise the soft limit on open files as far as the hard one allows; answers what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft  # a system may allow less than its hard limit says
    return wanted


def share_out(limit: int, settings: Settings) -> Descriptors:
    """Share a limit out between the server's own needs and callers. Raises TooFewDescriptors."""
    reserved = _OWN + NEWCOMERS + _A_FETCH * settings.fetches + _A_WORKER * (settings.workers + 1)
    for_callers = limit - reserved
    if for_callers < _LEAST_FOR_CALLERS:
        raise TooFewDescriptors(
            f"the limit on open files is {limit}, and this server needs {reserved + _LEAST_FOR_CALLERS}; raise it "
            "(ulimit -n, or LimitNOFILE of systemd), or lower --fetches and --workers"
        )
    transfers = min(settings.max_transfers, for_callers // _TRANSFERS_SHARE)
    return Descriptors(limit, reserved, min(settings.max_connections, for_callers - transfers), transfers)
