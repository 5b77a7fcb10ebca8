"""Media types of raster images, by their content."""

from __future__ import annotations

from imagebatch_server.images.header import sniff

_TYPES = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "heif": "image/heic",
    "jpeg": "image/jpeg",
    "jpeg2000": "image/jp2",
    "jxl": "image/jxl",
    "png": "image/png",
    "psd": "image/vnd.adobe.photoshop",
    "tiff": "image/tiff",
    "webp": "image/webp",
}
"""By the names of `images.formats`; cameras' raw files have no common one."""


def media_type(head: bytes) -> str | None:
    """Tell the type by a file's first bytes, whatever it was declared to be; None for what is no raster image."""
    return _TYPES.get(sniff(head) or "")
