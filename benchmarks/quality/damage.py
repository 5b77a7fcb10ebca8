"""What happens to files: cut short, with holes, with bits turned. The header mostly stays."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

FORMATS: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"image_format": "JPEG", "quality": 88},
    "progressive JPEG": {"image_format": "JPEG", "quality": 88, "progressive": True},
    "PNG": {"image_format": "PNG"},
    "WebP": {"image_format": "WEBP", "quality": 85},
    "GIF": {"image_format": "GIF"},
}

_HEADER_BYTES = 1_000
_HOLE_BYTES = 512


def _at(data: bytes, chance: random.Random) -> int:
    return chance.randrange(min(_HEADER_BYTES, len(data) // 3), len(data) - _HOLE_BYTES)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: _at(data, chance)]


def _empty_tail(data: bytes, chance: random.Random) -> bytes:
    kept = _cut(data, chance)
    return kept + bytes(len(data) - len(kept))


def _zeroed(data: bytes, chance: random.Random) -> bytes:
    at = _at(data, chance)
    return data[:at] + bytes(_HOLE_BYTES) + data[at + _HOLE_BYTES :]


def _missing(data: bytes, chance: random.Random) -> bytes:
    at = _at(data, chance)
    return data[:at] + data[at + _HOLE_BYTES :]


def _bits(count: int) -> Callable[[bytes, random.Random], bytes]:
    def turn(data: bytes, chance: random.Random) -> bytes:
        changed = bytearray(data)
        for _ in range(count):
            changed[_at(data, chance)] ^= 1 << chance.randrange(8)
        return bytes(changed)

    return turn


KINDS: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "cut short": _cut,
    "its rest zeroed": _empty_tail,
    "512 bytes zeroed": _zeroed,
    "512 bytes missing": _missing,
    "ten bits turned": _bits(10),
    "one bit turned": _bits(1),
}
