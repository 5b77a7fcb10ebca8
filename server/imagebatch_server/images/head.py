"""The head of an HTTP answer as browsers read it: what harms nobody is put right before a strict parser sees it."""

from __future__ import annotations

import re

END = b"\r\n\r\n"

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH, _CODING = b"content-length", b"transfer-encoding"


def tidied(head: bytes) -> bytes:
    """Leave out lines that are no headers, and a length that is said twice alike, or beside chunks, or is empty.

    Two lengths that differ stay, so that the answer is refused: where the image ends, nobody knows.
    """
    status, *lines = head.removesuffix(END).split(b"\r\n")
    kept: list[bytes] = []
    lengths: set[bytes] = set()
    is_coded = False
    for line in lines:
        if line[:1] in b" \t":
            kept.append(line)  # it goes on with the one before
            continue
        name, colon, value = (part.strip(b" \t") for part in line.partition(b":"))
        kind = name.lower()
        if not colon or not _TOKEN.fullmatch(name) or (kind == _CODING and value.lower() == b"identity"):
            continue
        if kind == _LENGTH:
            lengths.update(length for part in value.split(b",") if (length := part.strip(b" \t")))
            continue
        is_coded = is_coded or kind == _CODING
        kept.append(name + b": " + value)
    if not is_coded:
        kept += [b"Content-Length: " + length for length in sorted(lengths)]
    return b"\r\n".join([status, *kept]) + END
