"""At which URLs callers read stored images: the one place that chooses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import BlobStore, ImageUrls
from imagebatch_server.http.signing import UrlSigner


@dataclass(frozen=True)
class StoreUrls:
    """What the object store makes by itself: signed ones of a bucket, or `file://` ones, which never expire."""

    blobs: BlobStore
    kept_s: float

    def url(self, tenant: str, object_key: str) -> str | None:
        """Make a URL; None for what is no key."""
        return self.blobs.url(BlobName(tenant, object_key))


def makes_previews(settings: Settings) -> bool:
    """Say whether items get previews: unless the operator decides, where a browser can show them."""
    if settings.previews is not None:
        return settings.previews
    return settings.http_address is not None or settings.object_store_url is not None


def image_urls(settings: Settings, signer: UrlSigner | None, blobs: BlobStore) -> ImageUrls:
    """Choose the HTTP port's where there is one: they hold the tenant, and let browsers do no more than is safe."""
    if signer is not None:
        return signer
    return StoreUrls(blobs, math.inf if settings.object_store_url is None else settings.signed_url_lifetime_s / 2)
