"""URLs that stand for a permission: signed over all that they permit, and until when."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from imagebatch_server.batches.model import UploadUrl
from imagebatch_server.http.keyring import Keyring

IMAGES = "images"
UPLOADS = "uploads"

_STEPS = 8
"""Of a lifetime. An image's URL is the same within one, so that browsers find in their caches what they have read."""

_HASH = "sha256"
_SIGNATURE = "signature"


class BadSignature(Exception):
    """The URL permits nothing; the message says why, as far as it may be said."""


class UrlSigner:
    """Make URLs below `base_url` that are good for `lifetime_s`, and tell them from others.

    Tenant, object key, expiry and the key's id are under the signature; of an upload, so are size and type.
    """

    def __init__(
        self, base_url: str, lifetime_s: float, keyring: Keyring, now: Callable[[], float] = time.time
    ) -> None:
        self._base_url = base_url
        self._lifetime_s = lifetime_s
        self._keyring = keyring
        self._now = now

    @property
    def kept_s(self) -> float:
        """How long a message that holds such URLs may be kept: whoever gets it late still has half of their time."""
        return self._lifetime_s * (1 / 2 - 1 / _STEPS)

    def url(self, tenant: str, object_key: str) -> str:
        """Make a URL to read an image."""
        step_s = self._lifetime_s / _STEPS
        expires = int((self._now() + self._lifetime_s) // step_s * step_s)
        return self._sign(IMAGES, tenant, object_key, expires, {})

    def upload_url(self, tenant: str, object_key: str, content_type: str, size_bytes: int) -> UploadUrl:
        """Make a URL to write an image of this type and size, once."""
        expires = int(self._now() + self._lifetime_s)
        bound = {"size": str(size_bytes), "type": content_type}
        url = self._sign(UPLOADS, tenant, object_key, expires, bound)
        return UploadUrl(url, {"content-type": content_type}, datetime.fromtimestamp(expires, UTC))

    def check(self, kind: str, tenant: str, object_key: str, parameters: Mapping[str, str]) -> float:
        """Hold a URL to its signature; answers how long it is still good (seconds). Raises BadSignature."""
        given = dict(parameters)
        signature, expires, key_id = (given.pop(name, "") for name in (_SIGNATURE, "expires", "key"))
        secret = self._keyring.secret(key_id)
        if secret is None or not expires.isdecimal():
            raise BadSignature("the URL is not signed by a key of this server; ask for a new one")
        right = _signature(secret, kind, tenant, object_key, expires, key_id, given)
        if not hmac.compare_digest(right.encode(), signature.encode()):
            raise BadSignature("the URL's signature is not right: it was changed on the way; ask for a new one")
        left_s = int(expires) - self._now()
        if left_s <= 0:
            raise BadSignature("the URL has expired; ask for a new one")
        return left_s

    def _sign(self, kind: str, tenant: str, object_key: str, expires: int, bound: Mapping[str, str]) -> str:
        key_id, secret = self._keyring.current
        signature = _signature(secret, kind, tenant, object_key, str(expires), key_id, bound)
        more = f"&{urlencode(bound)}" if bound else ""
        return (
            f"{self._base_url}/{kind}/{tenant}/{quote(object_key, safe='')}?expires={expires}{more}&key={key_id}"
            f"&{_SIGNATURE}={signature}"
        )


def _signature(
    secret: bytes, kind: str, tenant: str, object_key: str, expires: str, key_id: str, bound: Mapping[str, str]
) -> str:
    # Each part by itself on a line, of which no part has any: two different sets never give the same text.
    parts = [kind, tenant, object_key, expires, key_id, *(f"{name}={bound[name]}" for name in sorted(bound))]
    digest = hmac.digest(secret, "\n".join(part.replace("\n", "\\n") for part in parts).encode(), _HASH)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
