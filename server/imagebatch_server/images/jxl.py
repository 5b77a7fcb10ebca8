"""JPEG XL for Pillow, by libjxl."""

from __future__ import annotations

from functools import cache
from typing import Any

import pylibjxl
from PIL import Image, ImageFile

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@cache
def _decoder() -> pylibjxl.JXL:
    return pylibjxl.JXL(threads=1)  # workers are processes; threads on top would fight for their cores


class JxlImageFile(ImageFile.ImageFile):
    """The first frame, in 8 bits."""

    format = "JXL"

    def _open(self) -> None:
        assert self.fp is not None  # noqa: S101 - Pillow has opened it
        self._data = self.fp.read()
        told = pylibjxl.probe(self._data)
        self._size = told["width"], told["height"]
        self._mode = _MODES[told["channels"]]

    def load(self) -> Any:
        """Decode, once."""
        if self._im is None:
            pixels, told = _decoder().decode(self._data, metadata=True)
            if told.get("icc"):
                self.info["icc_profile"] = told["icc"]
            self.load_prepare()
            self.frombytes(pixels.tobytes())
        return Image.Image.load(self)
