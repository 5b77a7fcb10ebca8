"""Which items of a batch are the same: equal content, or an equal URL, and equal metadata, where expectations live."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from imagebatch_server.batches.model import Item


def content_key(item: Item, object_sha256: str | None) -> bytes | None:
    """What equal items have in common; None for an item that can't be told to be the same as another.

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


def marked(items: Sequence[Item], first_with: Mapping[bytes, int]) -> Sequence[Item]:
    """Mark the items that repeat an earlier one. `first_with` knows the lowest index of keys that came before."""
    known = dict(first_with)
    return [_marked(item, known) for item in items]


def _marked(item: Item, known: dict[bytes, int]) -> Item:
    if item.content_key is None:
        return item
    first = known.setdefault(item.content_key, item.item_index)
    return item if first == item.item_index else replace(item, duplicate_of_index=first)
