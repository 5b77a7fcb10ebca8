"""A page of pictures and what came of them: one file of HTML, which asks for nothing elsewhere and runs nothing.

Whatever comes from images, files and servers is text in it, and a policy in its head forbids all but its own style and
the pictures that are part of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from typing import Final

from imagebatch_client import shown
from imagebatch_client.export.cursor import Cursor
from imagebatch_client.export.form import Images
from imagebatch_client.texts import one_line, safe, spaced
from imagebatch_client.types import BatchItemResult

MOST_ITEMS: Final = 10_000
"""A browser shows a page of so many; more would take it all memory that there is."""

_ALL_IMAGES_BYTES = 256 * 1024 * 1024
_MOST_IMAGE_BYTES = 1024 * 1024

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
h1 { font-size: 1.3rem; margin: 0; overflow-wrap: anywhere; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; margin-top: 1rem; }
article { border: 1px solid #8885; border-radius: .5rem; padding: .75rem; overflow-wrap: anywhere;
  content-visibility: auto; contain-intrinsic-size: auto 20rem; }
img { display: block; max-width: 100%; max-height: 16rem; margin: 0 auto .5rem; }
h2 { font-size: 1rem; margin: 0; }
p { margin: .25rem 0; }
pre { white-space: pre-wrap; font-size: .8rem; margin: .25rem 0 0; }
summary { cursor: pointer; }
.success b { color: light-dark(#186a2b, #6cd28a); }
.failed b { color: light-dark(#a31621, #ff8a8f); }
.skipped b { color: light-dark(#7a5200, #e8b85a); }
"""

_SIGNATURES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
}


def most_image_bytes(total_items: int) -> int:
    """Tell how large a picture may be to be part of a page of so many items: all of them are 256 MiB at most."""
    return min(_MOST_IMAGE_BYTES, _ALL_IMAGES_BYTES // total_items)


def pictured(item: BatchItemResult) -> str | None:
    """Choose the image that a page shows of an item, by its key: its preview, else what the operation stored."""
    return item.preview_object_key or item.stored_object_key


class Page:
    """The form of `.html`."""

    def __init__(self, batch: Cursor) -> None:
        self._batch = batch

    def head(self) -> str:
        style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        policy = f"default-src 'none'; img-src data:; style-src 'sha256-{style}'"
        title = f"{_text(self._batch.operation)}: batch {_text(self._batch.batch_id)}"
        items = "1 item" if self._batch.total_items == 1 else f"{self._batch.total_items:,} items"
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            f"<h1>{title}</h1>\n<p>{items}</p>\n<main>\n"
        )

    def body(self, items: Sequence[BatchItemResult], images: Images) -> str:
        return "".join(_article(item, images.get(pictured(item) or "")) for item in items)

    def foot(self) -> str:
        return "</main>\n</body>\n</html>\n"


def _article(item: BatchItemResult, image: bytes | None) -> str:
    outcome = shown.outcome(item)
    status = item.status.value
    return (
        f'<article class="{status}">{_picture(image, outcome)}'
        f'<h2 dir="auto">{_text(shown.name(item))}</h2>'
        f"<p>{item.item_index} · <b>{spaced(status)}</b></p>"
        f'<p dir="auto">{_text(outcome)}</p>'
        f'<details><summary>All of it</summary><pre dir="auto">{_details(item)}</pre></details></article>\n'
    )


def _picture(image: bytes | None, described: str) -> str:
    if image is None or (media_type := _media_type(image)) is None:
        return ""
    data = base64.b64encode(image).decode()
    return f'<img loading="lazy" alt="{_text(described)}" src="data:{media_type};base64,{data}">'


def _media_type(image: bytes) -> str | None:
    """Tell by its first bytes what it is; None for what no browser shows as pixels alone, such as SVG."""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    if image[4:12] == b"ftypavif":
        return "image/avif"
    return next((named for signature, named in _SIGNATURES.items() if image.startswith(signature)), None)


def _details(item: BatchItemResult) -> str:
    known = {name: value for name, value in item.to_dict().items() if value is not None}
    written = json.dumps(known, default=str, ensure_ascii=False, indent=2)
    return escape("\n".join(map(safe, written.split("\n"))))


def _text(text: str) -> str:
    return escape(one_line(text))
