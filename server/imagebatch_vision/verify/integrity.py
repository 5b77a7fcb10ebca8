"""Whether a file is whole. Decoders pass over much damage: they show what they can, and fill the rest with grey.

Of JPEGs with 512 bytes zeroed in their middle Pillow refuses 2 %, and the strict decoding here 93 %; with 512 bytes
missing 3 % and all; with ten bits turned 10 % and 86 %, with a single one 2 % and 26 % (116 files of each kind).
"""

from __future__ import annotations

import io
import re
import struct

from PIL import Image as PillowImage

from imagebatch_server.operations import Image
from imagebatch_vision.verify.output import Check, cannot_tell, contradicted, supported

_JPEG_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file", "Unsupported marker type")
_JPEG_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_END_MARK = b"\xff\xd9"
_NOT_BY_TRIAL = (b"\xff\xc2", b"\xff\xdd", b"\xff\xc9", b"\xff\xca")
"""Markers of progressive coding and of restarts, with which a decoder gets into step again, and of arithmetic coding.

The last leaves out what it ends in, so that nothing tells where its pixels end.
"""
_OF_SAMPLING = "subsampling"
"""In what the strict decoder says of a sampling that it can't read."""
_FILLER = b"\x55" * 64
_MOST_PADDING_BYTES = 4
"""Some cameras put so many before the end of a whole file."""


def check_integrity(image: Image) -> Check:
    """Judge an image that a decoder has accepted, once it is decoded.

    Formats without redundancy can't be judged beyond that: WebP and TIFF by their length alone, BMP and AVIF not.
    """
    if image.is_truncated:
        return contradicted("integrity", 0.0, "It is truncated: the file ends before its picture does.")
    damage = image.core.damage
    if damage is not None:
        return contradicted("integrity", 0.0, f"It is damaged: {damage}.")
    if image.core.format == "jpeg":
        answer = _answer_of_strict_decoder(image.core.data)
        if answer is not None and answer.startswith(_JPEG_DAMAGE):
            return contradicted("integrity", 0.0, f"It is damaged: {answer}.")
        if answer is not None:
            return cannot_tell("integrity", f"It decodes, but the check for hidden damage can't read it: {answer}.")
    if image.core.blemish is not None:
        return supported("integrity", 1.0, f"It decodes whole; beside the picture, {image.core.blemish}.")
    return supported("integrity", 1.0, "It decodes whole.")


def _answer_of_strict_decoder(data: bytes) -> str | None:
    """Ask a decoder that passes over nothing about a JPEG; answers None if it is content."""
    import simplejpeg

    try:
        # An eighth of the size: every coefficient is read, and hardly any is turned into pixels.
        target = "CMYK" if _components(data) == 4 else "GRAY"
        simplejpeg.decode_jpeg(data, target, fastdct=True, min_height=1, min_width=1, min_factor=8, strict=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever it can't do: its answer is told, whichever it is
        message = str(error).strip() or type(error).__name__
        if _OF_SAMPLING in message:
            return _answer_by_trial(data, message)
        padding = _JPEG_PADDING.search(message)
        return None if padding is not None and int(padding[1]) <= _MOST_PADDING_BYTES else message
    return None


def _answer_by_trial(data: bytes, refusal: str) -> str | None:
    """Whether a JPEG in one scan is decoded from all of its coded pixels, and from nothing behind them; None if so.

    For samplings that the strict decoder can't read: where pixels are damaged, a decoder gets out of step, and is done
    too early or too late. Other bytes at the end then change nothing, or those behind the end something.
    """
    end = len(data) - len(_END_MARK)
    if any(name in data for name in _NOT_BY_TRIAL) or data.count(b"\xff\xda") != 1:
        return refusal
    shown = _pixels(data)
    if _pixels(data[:end] + _FILLER + _END_MARK) != shown:
        return "Corrupt JPEG data: its coded pixels end too early"
    if _pixels(data[: end - _MOST_PADDING_BYTES - 1] + _END_MARK) == shown:
        return "Corrupt JPEG data: there are more coded pixels than it has"
    return None


def _pixels(data: bytes) -> bytes:
    with PillowImage.open(io.BytesIO(data), formats=("JPEG",)) as opened:
        return opened.tobytes()


def _components(data: bytes) -> int:
    """How many colours the frame's header states."""
    at = 2
    while not (0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC)):
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return data[at + 9]
