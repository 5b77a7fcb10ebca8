"""The images of a batch as they were named: where each comes from, and the items that they become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from imagebatch_client.files import ImageFile, item_ids
from imagebatch_client.types import BatchImageInput

URL: Final = re.compile(r"(https?|s3|gs|az)://", re.IGNORECASE)
"""What the server fetches by itself; from which buckets, it says."""


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An image that the server fetches by itself."""

    url: str


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that the server has."""

    object_key: str


Source = ImageFile | ImageUrl | StoredImage


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a batch, with what was said of it; `where` is what names it, such as a manifest's line."""

    source: Source
    item_id: str | None = None
    metadata: dict[str, Any] | None = None
    where: str = "PATH"


def files_of(entries: Sequence[Entry]) -> list[ImageFile]:
    """Pick the files, which are to be uploaded."""
    return [entry.source for entry in entries if isinstance(entry.source, ImageFile)]


def items_of(entries: Sequence[Entry], object_keys: Sequence[str]) -> list[BatchImageInput]:
    """Make the items of a batch; `object_keys` are those of the files once they are uploaded."""
    keys = iter(object_keys)
    unnamed = [entry.source.name for entry in entries if isinstance(entry.source, ImageFile) and entry.item_id is None]
    names = iter(item_ids(unnamed, taken={entry.item_id for entry in entries if entry.item_id is not None}))
    items = []
    for entry in entries:
        match entry.source:
            case ImageUrl(url):
                items.append(BatchImageInput(image_url=url, item_id=entry.item_id, metadata=entry.metadata))
            case StoredImage(key):
                items.append(BatchImageInput(object_key=key, item_id=entry.item_id, metadata=entry.metadata))
            case ImageFile(name=name):
                item_id = next(names) if entry.item_id is None else entry.item_id
                metadata = {"file_name": name} | (entry.metadata or {})
                items.append(BatchImageInput(object_key=next(keys), item_id=item_id, metadata=metadata))
    return items
