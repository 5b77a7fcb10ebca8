"""Checks that need no look at the picture: declared type, size, capture time."""

from __future__ import annotations

from datetime import datetime, timedelta

from imagebatch_server.operations import CaptureTime, Image
from imagebatch_vision.verify.output import Check, cannot_tell, contradicted, supported

_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "image/x-bmp": "image/bmp",
    "image/tif": "image/tiff",
    "image/avif-sequence": "image/avif",
    **dict.fromkeys(("image/heic", "image/heic-sequence", "image/heif-sequence"), "image/heif"),
    **dict.fromkeys(("image/jp2", "image/jpx", "image/jpm", "image/j2c", "image/x-jp2"), "image/jpeg2000"),
    **dict.fromkeys(("image/vnd.adobe.photoshop", "image/x-psd", "application/x-photoshop"), "image/psd"),
    **{
        f"image/x-{maker}": "image/raw"
        for maker in (
            "adobe-dng", "canon-cr2", "canon-cr3", "canon-crw", "fuji-raf", "minolta-mrw", "nikon-nef", "olympus-orf",
            "panasonic-rw2", "pentax-pef", "samsung-srw", "sigma-x3f", "sony-arw", "dcraw",
        )
    },
    "image/dng": "image/raw",
}  # fmt: skip
_ACCEPTED = tuple(
    f"image/{it}"
    for it in ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heif", "jpeg2000", "jxl", "psd", "raw")
)
_SAYS_NOTHING = ("", "image/*", "*/*", "application/octet-stream", "binary/octet-stream", "application/x-binary")

_ZONES_AHEAD = timedelta(hours=14)
_ZONES_BEHIND = timedelta(hours=12)


def check_declared_type(declared: str | None, image_format: str | None, why_not: str = "") -> Check:
    """Compare what the caller or the host said with the content, of which `why_not` tells if it has no format."""
    given = (declared or "").partition(";")[0].strip().lower()
    if given in _SAYS_NOTHING:
        return cannot_tell("declared_type", "No image type was declared.")
    declared_type = _ALIASES.get(given, given)
    if image_format is None:
        found = f"{given} was declared; {why_not}."
        is_wrong = declared_type in _ACCEPTED
        return contradicted("declared_type", 0.0, found) if is_wrong else cannot_tell("declared_type", found)
    if declared_type == f"image/{image_format}":
        return supported("declared_type", 1.0, f"{given} was declared, and the content is {image_format.upper()}.")
    return contradicted("declared_type", 0.0, f"{given} was declared, but the content is {image_format.upper()}.")


def check_size(image: Image, min_width: int | None, min_height: int | None) -> Check:
    """Compare the size as shown with the least that is expected."""
    width, height = image.upright_size
    fits = width >= (min_width or 1) and height >= (min_height or 1)
    wanted = " and ".join(
        f"{least} {direction}" for least, direction in ((min_width, "across"), (min_height, "down")) if least
    )
    if fits:
        return supported("size", 1.0, f"It has {width} by {height} pixels, and at least {wanted} are expected.")
    return contradicted("size", 0.0, f"It has {width} by {height} pixels, but at least {wanted} are expected.")


def check_capture_time(captured: CaptureTime | None, after: datetime | None, before: datetime | None) -> Check:
    """Compare the file's time, which is mostly local to nobody knows where, with the window that is expected."""
    if captured is None:
        return cannot_tell("capture_time", "The file records no capture time; many programs remove it.")
    captured_at = captured.at
    where = " (local time)" if captured_at.tzinfo is None else ""
    found = f"{captured.source} says that it was captured at {captured_at.isoformat(' ')}{where}"
    sides = [_is_later(captured_at, after)] if after else []
    if before:
        too_late = _is_later(captured_at, before)
        sides.append(None if too_late is None else not too_late)
    if False in sides:
        return contradicted("capture_time", 0.0, f"{found}, outside of the expected time.")
    if None in sides:
        return cannot_tell("capture_time", f"{found}, so near to the expected limit that it depends on the time zone.")
    return supported("capture_time", 1.0, f"{found}, within the expected time.")


def _is_later(captured_at: datetime, limit: datetime) -> bool | None:
    """Whether it is at or after the limit; None if that depends on the camera's time zone."""
    offset = limit.utcoffset()
    if offset is not None and captured_at.tzinfo is not None:
        return captured_at >= limit
    naive = limit.replace(tzinfo=None)
    captured_at = captured_at.replace(tzinfo=None)
    if offset is None:
        return captured_at >= naive
    later_by = captured_at - naive + offset  # lengths of time, as sums of times may leave the calendar
    if later_by >= _ZONES_AHEAD:
        return True
    return False if later_by < -_ZONES_BEHIND else None
