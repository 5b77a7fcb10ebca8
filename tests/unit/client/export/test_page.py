"""A page of HTML: everything in it is text, but for what it is made of."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.client.export.items import BATCH_ID, item

from imagebatch_client import BatchItemResult
from imagebatch_client.export.cursor import Cursor
from imagebatch_client.export.page import Page, most_image_bytes

JPEG = b"\xff\xd8\xff" + bytes(100)
OURS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "p", "main", "article", "img", "h2", "b", "details"),
    *("summary", "pre"),
}


class Reader(HTMLParser):
    """What a browser sees: elements, their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(*items: BatchItemResult, images: dict[str, bytes] | None = None, operation: str = "look") -> Reader:
    form = Page(Cursor(BATCH_ID, operation, len(items), None))
    return Reader(form.head() + form.body(items, images or {}) + form.foot())


hostile = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", '"><img onerror=x>', "</pre><b>", "&lt;", "\x00\u202e"]
)


@given(hostile)
def test_whatever_comes_is_text(text: str) -> None:
    given_ = item(
        item_id=text, error_message=text, input_data={"image_url": text, "metadata": {"file_name": text, text: text}},
        output_data={"description": text, text: [text]}, stored_object_key="k", stored_image_url=text,
    )  # fmt: skip
    page = read(given_, images={"k": JPEG}, operation=text)
    assert {tag for tag, _ in page.elements} == OURS
    attributes = {(tag, name) for tag, attrs in page.elements for name in attrs}
    assert attributes == {
        *(("html", "lang"), ("meta", "charset"), ("meta", "http-equiv"), ("meta", "content"), ("meta", "name")),
        *(("article", "class"), ("img", "loading"), ("img", "alt"), ("img", "src")),
        *(("h2", "dir"), ("p", "dir"), ("pre", "dir")),
    }


def test_the_pictures_are_part_of_it() -> None:
    kinds = {
        "jpeg": JPEG,
        "png": b"\x89PNG\r\n\x1a\n",
        "gif": b"GIF89a",
        "webp": b"RIFF\0\0\0\0WEBP",
        "avif": b"\0\0\0\x20ftypavif",
        "svg": b"<svg onload='alert(1)'>",
        "none": b"",
    }
    page = read(*(item(stored_object_key=key) for key in [*kinds, "left out"]), images=kinds)
    shown = [attrs["src"] for tag, attrs in page.elements if tag == "img"]
    named = ["jpeg", "png", "gif", "webp", "avif"]
    assert shown == [f"data:image/{name};base64,{base64.b64encode(kinds[name]).decode()}" for name in named]


def test_the_policy_allows_its_own_style_alone() -> None:
    page = read(item())
    (policy,) = [attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv")]
    form = Page(Cursor(BATCH_ID, "look", 1, None))
    (style,) = re.findall("<style>(.*?)</style>", form.head(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


def test_pictures_together_have_a_bound() -> None:
    assert most_image_bytes(1) == 1024 * 1024
    assert all(most_image_bytes(items) * items <= 256 * 1024 * 1024 for items in (1, 255, 257, 10_000))
    assert most_image_bytes(10_000) > 25_000


def test_a_preview_is_shown_rather_than_what_was_stored() -> None:
    png = b"\x89PNG\r\n\x1a\n"
    items = [item(stored_object_key="k", preview_object_key="p"), item(preview_object_key="p"), item()]
    page = read(*items, images={"k": png, "p": JPEG})
    shown = [attrs["src"] for tag, attrs in page.elements if tag == "img"]
    assert shown == [f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"] * 2
