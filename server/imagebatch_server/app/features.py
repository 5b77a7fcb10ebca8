"""What a server has only if it is set up for it, as GetServerInfo lists it."""

from __future__ import annotations

from collections.abc import Sequence


def features(*, has_http_port: bool, has_bucket: bool, opens_buckets: bool, makes_previews: bool) -> Sequence[str]:
    """List the features of a server by what it has: an HTTP port, a bucket of its own, others' buckets, previews."""
    has = {
        "bucket_urls": opens_buckets,
        "create_upload_url": has_http_port,
        "output_prefix": opens_buckets,
        "previews": makes_previews,
        "signed_image_urls": has_http_port or has_bucket,
    }
    return [name for name, is_there in has.items() if is_there]
