"""Secrets and signatures of Standard Webhooks (https://www.standardwebhooks.com, specification 1.0.0)."""

from __future__ import annotations

import binascii
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable

SECRET_PREFIX = "whsec_"  # noqa: S105 - no secret: what a scanner for leaked ones looks for
SECRET_BYTES = 32
_LEAST_BYTES, _MOST_BYTES = 24, 64


def new_secret() -> str:
    """Make a secret of 256 random bits."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Read a secret. Raises ValueError, whose message does not hold it."""
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"is no secret; it begins with {SECRET_PREFIX} and goes on with 24 to 64 bytes in base64")
    return key


def headers(webhook_id: str, timestamp_s: int, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """Make the headers of one attempt, with a signature by each key."""
    signed = b".".join((webhook_id.encode(), str(timestamp_s).encode(), body))
    signatures = [f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }
