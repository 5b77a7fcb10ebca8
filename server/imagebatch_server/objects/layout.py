"""Where blobs are, below a folder or a bucket's prefix alike, so that one can be copied to the other as it is.

One file or object each, spread over 256 folders by two digits of their key.
"""

from __future__ import annotations

import re
import secrets

from imagebatch_server.batches.errors import ObjectNotFound
from imagebatch_server.batches.model import BlobName

_KEY = re.compile(r"(?P<tenant>[a-z0-9][a-z0-9_-]{0,62})\.(?P<random>[0-9a-f]{32})")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

DIGITS = "0123456789abcdef"
FOLDERS = tuple(f"{first}/{second}" for first in DIGITS for second in DIGITS)
QUARANTINE = "quarantine"
"""The folder of blobs that were set aside."""
INCOMING = "incoming"
"""The folder of what callers upload by themselves, until it is taken in."""
STORE_ID = "store-id"
"""The file with the id by which the store is known again."""


def new_key(tenant: str) -> str:
    """Make an object key: opaque, unique, and random, because one made of the content would tell who has it."""
    key = f"{tenant}.{secrets.token_hex(16)}"
    if not is_key(key):
        raise ValueError(f"tenant {tenant!r} can't stand in an object key; use 1 to 63 of a-z, 0-9, _ and -")
    return key


def is_key(name: str) -> bool:
    """Whether it is a blob's key."""
    return _KEY.fullmatch(name) is not None


def blob_path(key: str) -> str:
    """Say where a blob is, to whoever writes it or tidies. Raises ObjectNotFound for what is no key."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise ObjectNotFound(key)
    return _path(match)


def path_to_read(name: BlobName) -> str:
    """Say where a blob is, to whoever reads it. Raises ObjectNotFound for what is no key of the tenant."""
    match = _KEY.fullmatch(name.object_key)
    if match is None or match["tenant"] != name.tenant:
        raise ObjectNotFound(name.object_key)
    return _path(match)


def _path(key: re.Match[str]) -> str:
    random = key["random"]
    return f"{random[0]}/{random[1]}/{key[0]}"


def quarantine_path(key: str) -> str:
    """Say where a blob is that was set aside."""
    return f"{QUARANTINE}/{key}"


def incoming_path(key: str) -> str:
    """Say where a caller uploads what is to be a blob."""
    return f"{INCOMING}/{key}"


def store_id(text: str) -> str | None:
    """Read what the file of the id holds; None if that is something else."""
    return text.strip() if _ID.fullmatch(text.strip()) else None
