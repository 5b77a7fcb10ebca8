"""Items as they come in: checked for what only their neighbours can tell, images that came with them stored."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import structs

from imagebatch_server.batches import duplicates
from imagebatch_server.batches.errors import Violation
from imagebatch_server.batches.model import BlobName, Item, StoredObject
from imagebatch_server.batches.ports.batches import NewBatch
from imagebatch_server.batches.ports.objects import BlobStore, NewBlob, ObjectRows, TakeIn

MAX_DECLARED_TYPE_CHARACTERS = 255
"""As many as the content_type of an upload may have."""


class NewItem(msgspec.Struct, frozen=True, gc=False):
    """One item of a submit; exactly one of `image_url`, `image_base64` (a data URL) and `object_key` is set."""

    item_id: str | None
    image_url: str | None
    image_base64: str | None
    object_key: str | None
    metadata: bytes | None


@dataclass(frozen=True, slots=True)
class InlineImage:
    """An image that came in the request."""

    declared_type: str
    data: bytes


class ItemAdmission:
    """Turn new items into items of a batch."""

    def __init__(
        self,
        blobs: BlobStore,
        objects: ObjectRows,
        *,
        takes_buckets: bool = False,
        take_in: TakeIn | None = None,
    ) -> None:
        """`takes_buckets`: whether an `image_url` may lead into a bucket; whose is seen when it is read."""
        self._take_in = take_in
        self._blobs = blobs
        self._objects = objects
        self._takes_buckets = takes_buckets

    def check(
        self, new_items: Sequence[NewItem], *, start_index: int
    ) -> tuple[dict[int, InlineImage], list[Violation]]:
        """Decode the images that came as base64, by index, and find what is wrong. Paths are of the whole batch."""
        violations = self.repeated(new_items, {}, start_index=start_index)
        images: dict[int, InlineImage] = {}
        for index, new_item in enumerate(new_items, start=start_index):
            url = new_item.image_url
            if not self._takes_buckets and url is not None and url[:4].lower() != "http":
                text = "is of a bucket, and this server fetches http:// and https:// only; upload the image instead"
                violations.append(Violation(f"items[{index}].image_url", text))
            if new_item.image_base64 is None:
                continue
            try:
                images[index] = _decoded(new_item.image_base64)
            except ValueError as error:
                violations.append(Violation(f"items[{index}].image_base64", str(error)))
        return images, violations

    def repeated(self, new_items: Sequence[NewItem], known: Mapping[str, int], *, start_index: int) -> list[Violation]:
        """Find item_ids that repeat each other's, or those that are `known` with their index."""
        violations: list[Violation] = []
        first_with = dict(known)
        for index, new_item in enumerate(new_items, start=start_index):
            if new_item.item_id is None:
                continue
            first = first_with.setdefault(new_item.item_id, index)
            if first != index:
                text = f"{new_item.item_id!r} is the item_id of items[{first}] too; give every item its own, or none"
                violations.append(Violation(f"items[{index}].item_id", text))
        return violations

    async def store(
        self, batch: NewBatch, new_items: Sequence[NewItem], images: Mapping[int, InlineImage], *, start_index: int
    ) -> tuple[Sequence[Item], Sequence[StoredObject]]:
        """Store the images that came with the items, durably, and make the items. Raises StoreUnavailable."""
        objects = {
            index: StoredObject(
                tenant=batch.tenant,
                object_key=self._blobs.new_key(batch.tenant),
                sha256=hashlib.sha256(image.data).hexdigest(),
                size_bytes=len(image.data),
                content_type=image.declared_type,
                file_name="",
                created_at=batch.created_at,
            )
            for index, image in images.items()
        }
        if images:
            await self._blobs.put_many(
                [NewBlob(objects[index].object_key, image.data, image.declared_type) for index, image in images.items()]
            )
        items = [
            _item(index, new_item, objects.get(index)) for index, new_item in enumerate(new_items, start=start_index)
        ]
        if batch.options.skip_duplicates:
            items = await self._with_keys(batch.tenant, items)
        return items, list(objects.values())

    async def discard(self, objects: Sequence[StoredObject]) -> None:
        """Remove images whose batch was refused."""
        await self._blobs.delete([stored.object_key for stored in objects])

    async def _with_keys(self, tenant: str, items: Sequence[Item]) -> list[Item]:
        named = [item.object_key for item in items if item.object_key is not None and item.sha256 is None]
        digests = await self._objects.digests(tenant, named) if named else {}
        unknown = [BlobName(tenant, key) for key in named if key not in digests]
        if unknown and self._take_in is not None and await self._take_in(unknown):
            digests = await self._objects.digests(tenant, named)
        return [
            structs.replace(item, content_key=duplicates.content_key(item, digests.get(item.object_key or "")))
            for item in items
        ]


def _item(index: int, new_item: NewItem, inline: StoredObject | None) -> Item:
    return Item(
        item_index=index,
        item_id=new_item.item_id,
        image_url=new_item.image_url,
        object_key=new_item.object_key if inline is None else inline.object_key,
        size_bytes=None if inline is None else inline.size_bytes,
        sha256=None if inline is None else inline.sha256,
        declared_type=None if inline is None else inline.content_type,
        metadata=new_item.metadata,
    )


def _decoded(data_url: str) -> InlineImage:
    """Read a data URL. Raises ValueError, which says what is wrong with it."""
    head, _, text = data_url.partition(",")
    declared_type = head.removeprefix("data:").removesuffix(";base64")
    if len(declared_type) > MAX_DECLARED_TYPE_CHARACTERS:
        raise ValueError(
            f"declares a type of {len(declared_type)} characters; at most {MAX_DECLARED_TYPE_CHARACTERS} are allowed"
        )
    try:
        return InlineImage(declared_type, base64.b64decode(text, validate=True))
    except ValueError as error:  # a character beyond ASCII is no binascii.Error
        raise ValueError(
            f"is not valid base64 ({error}); encode the whole file with the standard alphabet and padding"
        ) from error
