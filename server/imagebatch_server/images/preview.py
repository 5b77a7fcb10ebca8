"""A small picture of an image, taken while an operation decodes it, so that people can see what the item was."""

from __future__ import annotations

import io
from contextlib import suppress

import PIL.Image

from imagebatch_server.images.colour import flattened

MAX_SIDE_PX = 256
MAX_PREVIEW_BYTES = 128 * 1024
"""More than a JPEG of that size takes, whatever it shows."""

_QUALITY = 75


class Preview:
    """Takes a JPEG of what is decoded. It is a by-product: whatever goes wrong here, the image is none the worse."""

    def __init__(self) -> None:
        self.jpeg: bytes | None = None
        """The preview; None as long as nothing was decoded."""
        self._side = 0

    def see(self, picture: PIL.Image.Image) -> None:
        """Take a preview of an upright RGB or RGBA picture, unless there is one that shows as much."""
        side = min(MAX_SIDE_PX, max(picture.size))
        if side <= self._side:
            return
        with suppress(Exception):  # no memory for it, for example
            data = _encoded(picture, side)
            if len(data) <= MAX_PREVIEW_BYTES:
                self.jpeg, self._side = data, side


def _encoded(picture: PIL.Image.Image, side: int) -> bytes:
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = picture if size == picture.size else picture.resize(size, PIL.Image.Resampling.BICUBIC, reducing_gap=2.0)
    stream = io.BytesIO()
    flattened(small).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
