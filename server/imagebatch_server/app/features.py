"""What a server has only if it is set up for it, as GetServerInfo lists it."""

from __future__ import annotations

from collections.abc import Sequence


def features(
    *, signs_uploads: bool, signs_images: bool, opens_buckets: bool, notifies: bool, makes_previews: bool
) -> Sequence[str]:
    """List the features of a server by what it does: sign URLs, open others' buckets, notify, make previews."""
    has = {
        "bucket_urls": opens_buckets,
        "create_upload_url": signs_uploads,
        "notify_url": notifies,
        "output_prefix": opens_buckets,
        "previews": makes_previews,
        "signed_image_urls": signs_images,
    }
    return [name for name, is_there in has.items() if is_there]
