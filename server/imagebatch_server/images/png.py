"""The chunks of a PNG: those that make the picture, and what the others say of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence

from imagebatch_server.batches.errors import UnsupportedPicture
from imagebatch_server.images import apng
from imagebatch_server.images.colour_spaces import Chromaticities, HighRange, of_gamma, of_numbers
from imagebatch_server.images.core import Core
from imagebatch_server.images.png_chunks import SIGNATURE, Chunk, chunks

_OF_ANY_PICTURE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"})
_MOST_KEYWORD = 80
_MOST_INFLATED = 16 * 1024 * 1024
"""More than any profile or text that tells something of a picture; a few bytes may inflate to gigabytes."""


def core(data: bytes) -> Core:
    """Pick the chunks that make the picture. Damaged ones among the others say nothing, as in browsers.

    Raises UnsupportedPicture.
    """
    found = list(chunks(data))
    if _is_all_picture(data, found):
        return Core("png", data, find_damage=_damage_in(found), find_blemish=_blemish_in(found), exif=b"")
    if found and found[0].name == b"CgBI":
        raise UnsupportedPicture(
            "the PNG has Apple's CgBI variant of pixels, made for its own devices, which is not read here; save it as "
            "an ordinary PNG"
        )
    kept = [it for it in found if it.name in _PICTURE and (it.is_critical or it.is_sound)]
    kept = [it for it in kept if it.name != b"tRNS" or _is_key(it.end - it.start - 12, colour_type=data[25])]
    if not apng.is_sound(data, found):
        kept = [it for it in kept if it.is_critical or it.name == b"tRNS"]  # the default image, and no animation
    is_truncated = not (found and found[-1].name == b"IEND")
    rest = data[found[-1].end if found else len(SIGNATURE) :] if is_truncated else b""
    view = memoryview(data)
    said: dict[bytes, bytes] = {}
    for it in found:
        if it.name not in _PICTURE and it.is_sound:
            said.setdefault(_key(data, it), data[it.start + 8 : it.end - 4])
    colours = _colours(said)
    return Core(
        format="png",
        data=b"".join([SIGNATURE, *(view[it.start : it.end] for it in kept), _part(rest)]),
        is_truncated=is_truncated,
        find_damage=_damage_in(found),
        find_blemish=_blemish_in(found),
        icc_profile=None if isinstance(colours, HighRange) else colours,
        exif=said.get(b"eXIf") or _raw_exif(said) or b"",
        xmp=_xmp(said.get(b"iTXtXML:com.adobe.xmp")),
        high_range=colours if isinstance(colours, HighRange) else None,
    )


def _is_all_picture(data: bytes, found: Sequence[Chunk]) -> bool:
    """Tell whether there is nothing to pick: the file is whole, and all of it makes one still picture."""
    if not found or found[-1].name != b"IEND" or found[-1].end != len(data):
        return False
    return {it.name for it in found} <= _OF_ANY_PICTURE


def _damage_in(found: Sequence[Chunk]) -> Callable[[], str | None]:
    return lambda: _unsound(it for it in found if it.name in _PICTURE and it.name != b"IEND")


def _blemish_in(found: Sequence[Chunk]) -> Callable[[], str | None]:
    return lambda: _unsound(it for it in found if it.name not in _PICTURE or it.name == b"IEND")


def _colours(said: dict[bytes, bytes]) -> bytes | HighRange | None:
    """Find what the chunks say of colours; of several the one that goes before the others."""
    numbers = said.get(b"cICP", b"")
    if len(numbers) == 4:
        return of_numbers(numbers[0], numbers[1], is_png=True)
    profile = _icc_profile(said.get(b"iCCP"))
    if profile is not None or len(said.get(b"sRGB", b"")) == 1:
        return profile
    gamma, place = said.get(b"gAMA", b""), said.get(b"cHRM", b"")
    if len(gamma) != 4:
        return None  # browsers want both
    shares = struct.unpack(">8I", place) if len(place) == 32 else None
    chromaticities = None if shares is None else Chromaticities(*(share / 100_000 for share in shares))
    return of_gamma(int.from_bytes(gamma, "big") / 100_000, chromaticities)


def _is_key(size: int, *, colour_type: int) -> bool:
    """Tell whether a chunk of transparency has the size that it has to have; decoders pass over others."""
    return {0: size == 2, 2: size == 6, 3: 1 <= size <= 256}.get(colour_type, False)


def _unsound(found: Iterable[Chunk]) -> str | None:
    name = next((it.name for it in found if not it.is_sound), None)
    return None if name is None else f"the checksum of its {name.decode('latin-1')} chunk is wrong"


def _key(data: bytes, chunk: Chunk) -> bytes:
    """Say what a chunk is about: its name, and of a text the keyword too."""
    is_text = chunk.name in (b"tEXt", b"zTXt", b"iTXt")
    return chunk.name + (data[chunk.start + 8 : chunk.start + 8 + _MOST_KEYWORD].split(b"\0")[0] if is_text else b"")


def key_in_8_bits(key: object, *, depth: int) -> object:
    """Bring the colour that stands for transparency to the depth of the pixels that Pillow makes."""
    if isinstance(key, int) and depth < 8:
        most = (1 << depth) - 1
        return (key & most) * 255 // most
    if isinstance(key, tuple) and depth == 16:
        return tuple(part >> 8 for part in key)
    return key


def _part(rest: bytes) -> bytes:
    """Answer what there is of the last chunk, if it holds pixels."""
    return rest if rest[4:8] in (b"IDAT", b"fdAT") else b""


def _inflated(data: bytes) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, _MOST_INFLATED)
    except zlib.error:
        return None
    return inflated if inflater.eof else None


def _icc_profile(body: bytes | None) -> bytes | None:
    _, _, after = (body or b"").partition(b"\0")
    return _inflated(after[1:]) if after[:1] == b"\0" else None  # 0: the only method that there is


def _xmp(body: bytes | None) -> bytes | None:
    """Read the text behind keyword, flags, language and translated keyword."""
    parts = (body or b"").split(b"\0", 1)
    if len(parts) < 2 or len(parts[1]) < 2:
        return None
    is_compressed, rest = parts[1][0] == 1, parts[1][2:].split(b"\0", 2)
    if len(rest) < 3:
        return None
    return _inflated(rest[2]) if is_compressed else rest[2]


def _raw_exif(said: dict[bytes, bytes]) -> bytes | None:
    """Read a block in hexadecimal digits, as ImageMagick writes it into a text."""
    for name, is_compressed in ((b"tEXt", False), (b"zTXt", True)):
        for kind in (b"exif", b"APP1"):
            _, _, text = said.get(name + b"Raw profile type " + kind, b"").partition(b"\0")
            lines = (_inflated(text[1:]) or b"" if is_compressed else text).split(b"\n")[3:]
            try:
                block = bytes.fromhex(b"".join(lines).decode("ascii"))
            except ValueError:
                continue
            if block:
                return block
    return None
