"""The page: files that Vite built of `server/page`, and what a browser may do with them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files

from imagebatch_server.http.packaged import PackagedFile

_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_BASE_URL = b"{{base_url}}"
"""Where the built page has a place for what signed URLs begin with."""

_MAY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
}
"""Everything comes from this port, images too: the page asks for signed URLs by the name that it was opened by."""


def page(base_url: str) -> Mapping[str, PackagedFile]:
    """Answer the page's files by their paths; the page itself is at none."""
    answers = {}
    for file in files("imagebatch_server.http").joinpath("static").iterdir():
        content = file.read_bytes()
        if file.name == _INDEX:
            content = content.replace(_BASE_URL, escape(base_url).encode())
        media_type = _TYPES[f".{file.name.rpartition('.')[2]}"]
        answers["" if file.name == _INDEX else file.name] = PackagedFile(content, media_type, _MAY)
    return answers
