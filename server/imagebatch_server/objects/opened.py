"""Images that are already in a bucket, of which the operator has opened parts to tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, StoreUnavailable
from imagebatch_server.objects.bucket import Bucket, BucketErrors, open_bucket
from imagebatch_server.objects.bucket_place import BucketPlace
from imagebatch_server.objects.layout import STORE_ID, store_id
from imagebatch_server.urls import BadUrl, BucketUrl, read_bucket, shown

log = structlog.get_logger(__name__)


UrlsOf = Callable[[str], Sequence[str]]
"""Tells URLs of a tenant."""


class OpenedBuckets:
    """The port `BucketImages`, for buckets that are reached as the environment says."""

    def __init__(
        self, read_buckets: UrlsOf, write_buckets: UrlsOf, own: BucketPlace | None, *, max_image_bytes: int
    ) -> None:
        """Take URLs of what a tenant may read and write; `own` is where the service's own images are."""
        self._read_buckets = read_buckets
        self._write_buckets = write_buckets
        self._own = own
        self._max_image_bytes = max_image_bytes
        self._known: dict[str, asyncio.Task[_Reached | None]] = {}

    async def read(self, tenant: str, url: str, admit: Callable[[int], Awaitable[None]]) -> tuple[bytes, str | None]:
        """Read an image, once `admit` has let its size in.

        Raises ItemError: FETCH_FORBIDDEN, alike for what there is and what there is not, FETCH_FAILED, TOO_LARGE.
        """
        asked = self._asked(tenant, url)
        with _said_of(url):
            reached = await self._reach(asked)
            if reached is None:
                raise _forbidden(url)
            with reached.errors():
                found = await reached.bucket.get_async(asked.path)
            size_bytes = found.meta["size"]
            if size_bytes > self._max_image_bytes:
                text = f"has {size_bytes:,} bytes, the limit is {self._max_image_bytes:,}; use a smaller image"
                raise ItemError(ItemErrorCode.TOO_LARGE, f"{shown(url)} {text}")
            await admit(size_bytes)
            with reached.errors():
                data = bytes(await found.bytes_async())
        return data, found.attributes.get("Content-Type")

    def write_problem(self, tenant: str, prefix: str) -> str | None:
        """Say why a tenant may not have images written below a prefix; None if it may, as far as is known unasked."""
        try:
            asked = read_bucket(prefix)
        except BadUrl as error:
            return f"{prefix!r} {error}"
        opened = [read_bucket(url) for url in self._write_buckets(tenant)]
        if any(asked == one or asked.is_below(one) for one in opened):
            return None
        return _not_open(prefix)

    async def write(self, tenant: str, prefix: str, name: str, data: bytes, content_type: str) -> None:
        """Write an image below a prefix, over one of that name. Raises ItemError with PROVIDER_ERROR."""
        problem = self.write_problem(tenant, prefix)
        if problem is not None:
            raise ItemError(ItemErrorCode.PROVIDER_ERROR, f"output_prefix: {problem}")
        asked = read_bucket(prefix)
        path = f"{asked.path}/{name}" if asked.path else name
        try:
            reached = await self._reach(asked)
            if reached is None:
                raise ItemError(ItemErrorCode.PROVIDER_ERROR, f"output_prefix: {_not_open(prefix)}")
            with reached.errors():
                await reached.bucket.put_async(
                    path, data, attributes={"Content-Type": content_type}, use_multipart=False
                )
        except (StoreUnavailable, FileNotFoundError) as error:
            passes = isinstance(error, StoreUnavailable) and error.may_pass
            text = "does not answer; try again" if passes else "can't be written by this server; tell its operator"
            raise ItemError(ItemErrorCode.PROVIDER_ERROR, f"{prefix!r} {text}", transient=passes) from error

    def _asked(self, tenant: str, url: str) -> BucketUrl:
        try:
            asked = read_bucket(url)
        except BadUrl as error:
            raise ItemError(ItemErrorCode.FETCH_FAILED, f"{shown(url)} {error}") from error
        if not any(asked.is_below(read_bucket(prefix)) for prefix in self._read_buckets(tenant)):
            raise _forbidden(url)
        return asked

    async def _reach(self, asked: BucketUrl) -> _Reached | None:
        """Find a bucket's client; None for the service's own bucket, whatever its URL calls it."""
        if asked.root not in self._known:
            self._known[asked.root] = asyncio.ensure_future(self._look(asked))
        try:
            return await asyncio.shield(self._known[asked.root])
        except StoreUnavailable:
            self._known.pop(asked.root, None)  # to be asked again
            raise

    async def _look(self, asked: BucketUrl) -> _Reached | None:
        reached = _Reached(asked.root)
        if self._own is None:
            return reached
        own = read_bucket(str(self._own))
        is_own = own.root == asked.root
        if not is_own:
            # An alias, another endpoint or another provider's door to the same bucket shows the same id there.
            path = f"{own.path}/{STORE_ID}" if own.path else STORE_ID
            try:
                with reached.errors():
                    text = bytes(await (await reached.bucket.get_async(path)).bytes_async())
                is_own = store_id(text.decode(errors="replace")) == await asyncio.to_thread(self._own.id)
            except FileNotFoundError:
                pass
            except StoreUnavailable as error:
                if error.may_pass:
                    raise
                # Whoever may not read that may not read our images by this door either.
        if is_own:
            log.error("buckets.own_bucket_opened", bucket=asked.root)
            return None
        return reached


class _Reached:
    """A bucket that is reached."""

    def __init__(self, root: str) -> None:
        self.bucket: Bucket = open_bucket(root)
        self.errors = BucketErrors(root)


@contextmanager
def _said_of(url: str) -> Iterator[None]:
    """Turn errors of a bucket into what is said of an item's image."""
    try:
        yield
    except FileNotFoundError as error:
        text = "is not there; correct the URL, or put the image there and retry the item"
        raise ItemError(ItemErrorCode.FETCH_FAILED, f"{shown(url)} {text}") from error
    except StoreUnavailable as error:
        text = "can't be read now; try again" if error.may_pass else "can't be read by this server; tell its operator"
        raise ItemError(ItemErrorCode.FETCH_FAILED, f"{shown(url)} {text}", transient=error.may_pass) from error


def _forbidden(url: str) -> ItemError:
    text = "is in no bucket and under no prefix that is open to your tenant; ask the operator, or upload the image"
    return ItemError(ItemErrorCode.FETCH_FORBIDDEN, f"{shown(url)} {text}")


def _not_open(prefix: str) -> str:
    return f"{prefix!r} is not open to your tenant for writing; ask the operator, or leave it out"
