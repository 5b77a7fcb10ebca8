"""Drawn pictures, and files that only pretend to be some."""

from __future__ import annotations

import base64
import io

import PIL.Image
import PIL.ImageDraw


def drawn(seed: int = 0, image_format: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """Draw a disc on a plain ground; no two seeds below 10,000 give the same bytes."""
    width, height = size
    image = PIL.Image.new("RGB", size, (seed * 7 % 256, seed * 13 % 256, seed // 256))
    x, y = seed * 5 % (width // 2), seed * 3 % (height // 2)
    PIL.ImageDraw.Draw(image).ellipse((x, y, x + width // 2, y + height // 2), fill=(255, 220, seed % 256))
    file = io.BytesIO()
    image.save(file, image_format)
    return file.getvalue()


def jpeg_without_pixels() -> bytes:
    """Make a JPEG that ends where its pixels would begin: its header is whole."""
    data = noisy("JPEG")
    return data[: data.index(b"\xff\xda")]


def noisy(image_format: str, size: tuple[int, int] = (256, 192)) -> bytes:
    """Draw a picture that can't be made small."""
    file = io.BytesIO()
    PIL.Image.effect_noise(size, 80).convert("RGB").save(file, image_format)
    return file.getvalue()


def data_url(data: bytes, image_format: str = "png") -> str:
    """Write an image in the form in which a request carries it."""
    return f"data:image/{image_format};base64,{base64.b64encode(data).decode()}"
