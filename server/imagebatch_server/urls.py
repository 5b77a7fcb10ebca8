"""URLs as browsers read them (the WHATWG URL standard), in one place.

Whoever judges a URL, asks for it, counts by its host or shows it asks here, so that no two of them read it in different
ways: an attack on the guard would live on that.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote_to_bytes

from ada_url import URL, HostType

_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
"""What can be asked of name servers; the URL standard lets more pass."""

_STRIPPED = "".join(map(chr, range(0x21)))
"""C0 controls and the blank, which browsers take off both ends of a URL."""

_PROBLEMS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), words)
    for pattern, words in (
        (r"", "names no host; write it as https://host/path"),
        (r":[^:]*", "names a port but no host; write it as https://host:port/path"),
        (r".*\s.*", "has a blank in its host or port; take it out"),
        (r"\[.*%.*", "has an IPv6 zone, which only means something on one machine; leave it out"),
        (r"\[[0-9a-f:.]*\]:(?!0*[1-5]?[0-9]{1,4}\Z).*", "has a port outside 1 to 65535; correct it, or leave it out"),
        (r"\[.*", "has an IPv6 address that is none; correct it"),
        (r".*:.*:.*", "has more than one colon after its host; write IPv6 addresses in brackets"),
        (r".*:(?!0*[1-5]?[0-9]{1,4}\Z).*", "has a port outside 1 to 65535; correct it, or leave it out"),
        (r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?(:.*)?", "has an IPv4 address that is none; write it as 192.0.2.1"),
        (r".*", "has a host that is no valid name; correct it"),
    )
)
"""Words for a host and port that can't be read; they decide nothing."""

_BUCKET = re.compile(r"(?i:(s3|gs|az))://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*))?", re.DOTALL)
_NO_PART = re.compile(r"(.*/)?\.{0,2}(/.*)?", re.DOTALL)
"""A path with a part that is empty, `.` or `..`: what stands on the way to a bucket may make another path of it."""

_WEB = re.compile(r"https?:", re.IGNORECASE)
_AUTHORITY = re.compile(r"https?:[/\\]*([^/\\?#]*)", re.IGNORECASE)

MAX_SHOWN = 200
"""Characters of a URL in a message."""


class BadUrl(ValueError):
    """A URL that leads nowhere; the message says why, to be read after the URL."""


class NotWeb(BadUrl):
    """A URL of another scheme than http and https, or without any."""


@dataclass(frozen=True)
class Credentials:
    """User name and password that a URL holds, as bytes; never shown."""

    user: bytes = field(repr=False)
    password: bytes = field(repr=False)

    def as_basic(self) -> str:
        """Write them as HTTP's Authorization (RFC 7617)."""
        return "Basic " + b64encode(self.user + b":" + self.password).decode()


@dataclass(frozen=True)
class WebUrl:
    """An http or https URL in its one spelling, without credentials and fragment."""

    href: str
    scheme: str
    host: str
    """A name in ASCII, or an address without brackets."""
    port: int
    address: IPv4Address | IPv6Address | None
    """The host, where it is an address."""
    credentials: Credentials | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials belong to."""
        return self.scheme, self.host, self.port


@dataclass(frozen=True)
class BucketUrl:
    """An object in a bucket, or a prefix of objects; its path is a key as it is, with nothing to be decoded."""

    scheme: str
    bucket: str
    path: str

    @property
    def root(self) -> str:
        """The bucket's own URL."""
        return f"{self.scheme}://{self.bucket}"

    def is_below(self, prefix: BucketUrl) -> bool:
        """Whether it is an object under that prefix, whole names between slashes counted."""
        return self.root == prefix.root and (not prefix.path or self.path.startswith(f"{prefix.path}/"))


def read_bucket(text: str) -> BucketUrl:
    """Read an `s3://`, `gs://` or `az://` URL; of a prefix a last slash is nothing. Raises BadUrl."""
    found = _BUCKET.fullmatch(text)
    if found is None:
        raise BadUrl("names no bucket; write it as s3://bucket/key, gs://bucket/key or az://container/key")
    path = found[3] or ""
    if path and (_NO_PART.fullmatch(path.removesuffix("/")) or not path.isprintable()):
        raise BadUrl("has a part in its path that is empty, . or .., or a control character; correct it")
    return BucketUrl(found[1].lower(), found[2], path.removesuffix("/"))


def read(text: str, base: WebUrl | None = None) -> WebUrl:
    """Read a URL, one relative to `base` if that is given. Raises BadUrl."""
    url = _parsed(text, base)
    if url is None:
        raise _why_unreadable(text, base)
    scheme = url.protocol.removesuffix(":")
    if scheme not in ("http", "https"):
        raise NotWeb("is no http or https URL; give one, or upload the image")
    host = url.hostname.removeprefix("[").removesuffix("]")
    is_address = url.host_type is not HostType.DEFAULT
    if not is_address and not _NAME.fullmatch(host):
        raise BadUrl("has a host that is no valid name; correct it")
    if url.port == "0":
        raise _bad_port()
    credentials = None
    if url.username or url.password:
        credentials = Credentials(unquote_to_bytes(url.username), unquote_to_bytes(url.password))
    return WebUrl(
        href=f"{url.protocol}//{url.host}{url.pathname}{url.search}",
        scheme=scheme,
        host=host,
        port=int(url.port or ("443" if scheme == "https" else "80")),
        address=ip_address(host) if is_address else None,
        credentials=credentials,
    )


@lru_cache(1024)
def host_of(text: str) -> str:
    """Answer the host that a URL names, or its bucket, whose fetches are counted; empty if it will never be asked."""
    try:
        return read(text).host.removesuffix(".") if _WEB.match(text.lstrip(_STRIPPED)) else read_bucket(text).root
    except BadUrl:
        return ""


def without_credentials(text: str) -> str:
    """Take user name and password out of a URL; one that holds none stays as it is, letter by letter."""
    if "@" not in text:
        return text
    url = _parsed(text, None)
    if url is None:
        return _cut(text)
    if not (url.username or url.password):
        return text
    url.username = url.password = ""
    return url.href


def shown(url: str | WebUrl) -> str:
    """Shorten a URL for messages: no query, no credentials, nothing that a terminal would obey, 200 characters."""
    try:
        plain = (url if isinstance(url, WebUrl) else read(url)).href
    except BadUrl:
        plain = _cut(url) if isinstance(url, str) else url.href
    plain = re.split(r"[?#]", plain, maxsplit=1)[0]
    plain = "".join(character if character.isprintable() else "\ufffd" for character in plain)
    return repr(plain if len(plain) <= MAX_SHOWN else plain[:MAX_SHOWN] + "...")


def _bad_port() -> BadUrl:
    return BadUrl("has a port outside 1 to 65535; correct it, or leave it out")


def _parsed(text: str, base: WebUrl | None) -> URL | None:
    # Half a surrogate pair is no character; browsers put the replacement character in its place.
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    try:
        return URL(text, None if base is None else base.href)
    except ValueError:
        return None


def _cut(text: str) -> str:
    """Leave out whatever may be credentials of a URL that can't be read."""
    scheme = re.match(r"\s*[a-z][a-z0-9+.-]*:[/\\]*", text, re.IGNORECASE)
    return (scheme[0] if scheme else "") + text.rpartition("@")[2] if "@" in text else text


def _why_unreadable(text: str, base: WebUrl | None) -> BadUrl:
    """Find words for what the parser refused."""
    text = re.sub(r"[\t\r\n]", "", text.strip(_STRIPPED))
    if base is not None and re.match(r"[/\\]{2}", text):
        text = f"{base.scheme}:{text}"
    if not _WEB.match(text):
        return NotWeb("is no http or https URL; give one, or upload the image")
    authority = _AUTHORITY.match(text)
    host = (authority[1] if authority else "").rpartition("@")[2]
    return BadUrl(next(words for pattern, words in _PROBLEMS if pattern.fullmatch(host)))
