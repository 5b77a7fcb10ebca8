"""Which object store a server has: the one place that chooses."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.batches.ports.objects import Arrivals, BucketImages, ObjectStorePlace, SweptBlobStore
from imagebatch_server.batches.quotas import QuotasOf
from imagebatch_server.objects.local import LocalBlobStore
from imagebatch_server.objects.store_id import StoreFolder

if TYPE_CHECKING:
    from imagebatch_server.objects.bucket_place import BucketPlace


def object_store_place(settings: Settings, folder: Path) -> ObjectStorePlace:
    """Say where the object store is, before it is opened or even there; without a bucket, in `folder`.

    Raises CannotStart.
    """
    return StoreFolder(folder) if settings.object_store_url is None else _bucket(settings.object_store_url)


def open_object_store(settings: Settings, folder: Path) -> SweptBlobStore:
    """Open the object store, which is to be closed; without a bucket, in `folder`.

    Raises CannotStart, StoreUnavailable.
    """
    if settings.object_store_url is None:
        return LocalBlobStore(folder)
    place = _bucket(settings.object_store_url)
    from imagebatch_server.objects.remote import RemoteBlobStore

    return RemoteBlobStore(place, timedelta(seconds=settings.signed_url_lifetime_s))


def open_arrivals(settings: Settings) -> Arrivals | None:
    """Open what callers upload to the bucket by themselves; None without one, and where other machines read it.

    Those know nothing of what is still to be taken in. Raises CannotStart.
    """
    if settings.object_store_url is None or settings.ray_address is not None:
        return None
    place = _bucket(settings.object_store_url)
    from imagebatch_server.objects.remote_arrivals import RemoteArrivals

    return RemoteArrivals(place, timedelta(seconds=settings.signed_url_lifetime_s))


def opened_buckets(settings: Settings, quotas: QuotasOf) -> BucketImages | None:
    """Open what tenants may read of other buckets and write to them, if their file and the package are there."""
    if settings.tenants_file is None or find_spec("obstore") is None:
        return None
    from imagebatch_server.objects.opened import OpenedBuckets

    own = None if settings.object_store_url is None else _bucket(settings.object_store_url)
    return OpenedBuckets(
        lambda tenant: quotas(tenant).read_buckets,
        lambda tenant: quotas(tenant).write_buckets,
        own,
        max_image_bytes=settings.max_image_bytes,
    )


def _bucket(url: str) -> BucketPlace:
    if find_spec("obstore") is None:
        raise CannotStart(
            f"--object-store-url {url} needs a package that is not installed: pip install 'imagebatch[remote]'"
        )
    from imagebatch_server.objects.bucket_place import BucketPlace

    return BucketPlace(url)
