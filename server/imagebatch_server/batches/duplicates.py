"""Which items of a batch are the same: equal content, or an equal URL, and equal metadata, where expectations live."""

from __future__ import annotations

import hashlib

from imagebatch_server.batches.model import Item


def content_key(item: Item, object_sha256: str | None) -> bytes | None:
    """Find what equal items have in common; None for an item that can't be told to be the same as another.

    `object_sha256` is that of the object that the item names, None if there is none.
    """
    sha256 = item.sha256 or object_sha256
    if item.image_url is not None:
        content = f"url {item.image_url}"
    elif sha256 is not None:
        content = f"sha256 {sha256}"
    else:
        return None
    return hashlib.sha256(content.encode() + b"\0" + (item.metadata or b"")).digest()
