"""The public keys by which an OpenID provider's tokens are checked: fetched, kept, and turned over."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import InvalidKeyError, PyJWK, PyJWKError
from yarl import URL

log = structlog.get_logger(__name__)

REFRESH_S = 300.0
"""A key that the provider has withdrawn counts for so much longer at the most, while the provider can be reached."""
ASK_AGAIN_S = 60.0
"""The provider is asked no more often than this, whatever key ids callers make up."""
TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 512 * 1024
MIN_RSA_BITS = 2048

_ALGORITHMS: Mapping[tuple[object, object], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""The one algorithm that a key of each kind goes with, whatever a token says: a public key never checks an HMAC."""


class ProviderUnavailable(Exception):
    """The provider doesn't answer, or not what a provider answers."""


class ProviderKeys:
    """The keys of one issuer, by their ids (kid). A loop, too: `step` fetches them again and again.

    While the provider is away, the keys that are known go on.
    """

    name = "openid_keys"

    def __init__(self, issuer: str, ca: Path | None) -> None:
        """Say whose they are; `ca` holds the authority of its certificate, if it is a private one. Raises OSError."""
        self._issuer = issuer
        self._tls = ssl.create_default_context(cafile=ca)
        self._published: Sequence[Any] = ()
        self._keys: Mapping[str | None, PyJWK] = {}
        self._asking = asyncio.Lock()
        self._asked_at: float | None = None
        self.generation = 0
        """Rises whenever other keys take the place of those before."""

    async def find(self, kid: str | None) -> PyJWK | None:
        """Find a key by its id; for one that is not known the provider is asked, if it was not just now.

        A token may go without an id where the provider has one key only.
        """
        if kid not in self._keys:
            await self._ask()
        return self._keys.get(kid)

    async def step(self) -> None:
        """Fetch the keys, and rest."""
        await self._ask()
        await asyncio.sleep(REFRESH_S if self._keys else ASK_AGAIN_S)

    async def _ask(self) -> None:
        async with self._asking:  # who comes while it is asked takes what it answers
            if self._asked_at is not None and monotonic() - self._asked_at < ASK_AGAIN_S:
                return
            self._asked_at = monotonic()
            try:
                self._take(await self._fetch())
            except (ProviderUnavailable, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("access.provider_unavailable", issuer=self._issuer, why=str(error) or type(error).__name__)

    def _take(self, published: Sequence[Any]) -> None:
        if published == self._published:
            return
        keys = {key.key_id: key for key in map(_usable, published) if key is not None}
        if not keys:
            raise ProviderUnavailable("it publishes no key for RS256, ES256 or EdDSA")
        if len(keys) == 1:
            keys[None] = next(iter(keys.values()))
        self._published, self._keys = published, keys
        self.generation += 1
        log.info("access.provider_keys_taken", issuer=self._issuer, keys=len(keys))

    async def _fetch(self) -> Sequence[Any]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(ssl=self._tls)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            described = await _get(session, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            if described.get("issuer") != self._issuer:
                raise ProviderUnavailable(f"its discovery document is of the issuer {described.get('issuer')!r:.200}")
            url = described.get("jwks_uri")
            if not isinstance(url, str) or URL(url).scheme != URL(self._issuer).scheme:
                raise ProviderUnavailable(f"its discovery document has the jwks_uri {url!r:.200}")
            keys = (await _get(session, url)).get("keys")
        if not isinstance(keys, list):
            raise ProviderUnavailable(f"{url} holds no list of keys")
        return keys


async def _get(session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise ProviderUnavailable(f"{url} answers {response.status}")
        data = bytearray()
        async for part in response.content.iter_any():
            data += part
            if len(data) > MAX_ANSWER_BYTES:
                raise ProviderUnavailable(f"{url} answers more than {MAX_ANSWER_BYTES} bytes")
    try:
        found = json.loads(data)
    except ValueError:
        raise ProviderUnavailable(f"{url} answers what is no JSON") from None
    if not isinstance(found, dict):
        raise ProviderUnavailable(f"{url} answers no JSON object")
    return found


def _usable(published: Any) -> PyJWK | None:
    """Take a key that signs by an algorithm we check; a provider may have others beside it."""
    if not isinstance(published, dict) or published.get("use", "sig") != "sig":
        return None
    algorithm = _ALGORITHMS.get((published.get("kty"), published.get("crv")))
    if algorithm is None or published.get("alg", algorithm) != algorithm:
        return None
    try:
        key = PyJWK(published, algorithm)
    except (InvalidKeyError, PyJWKError):
        return None
    is_short = isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS
    return None if is_short else key
