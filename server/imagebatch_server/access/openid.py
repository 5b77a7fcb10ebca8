"""Tokens of an OpenID provider: JWTs, checked by its public keys, whose claims name the tenant and the roles."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from imagebatch_server.access.principal import TENANT, Principal, Role
from imagebatch_server.access.provider_keys import ProviderKeys
from imagebatch_server.batches.errors import Unauthenticated

MAX_CHECKED = 10_000
"""Tokens that are remembered as checked: to check one takes as long as half of a small call."""

_LAST = datetime(9999, 12, 31, tzinfo=UTC)
_REQUIRED = ("exp", "iss", "aud", "sub")
_UNKNOWN = "the token was not signed by a key of this server's OpenID provider; get another one from the provider"


@dataclass(frozen=True)
class Claims:
    """What is asked of tokens, and which of their claims say what."""

    issuer: str
    audience: str
    tenant: str = "tenant"
    """The claim's name, or its path, such as `realm_access.roles`."""
    roles: str = "roles"
    leeway_s: float = 10.0
    """How far the provider's clock may be from ours."""


class OpenIdTokens:
    """Check tokens. Each is checked once for as long as it lasts and the provider keeps its keys."""

    def __init__(self, keys: ProviderKeys, claims: Claims) -> None:
        self._keys = keys
        self._claims = claims
        self._checked: OrderedDict[bytes, tuple[Principal, int]] = OrderedDict()
        """By a token's hash: whose it is, and by which generation of the keys."""

    def remembered(self, token: str) -> Principal | None:
        """Answer whose token it is if it was checked before, at next to no cost; it may have expired since."""
        principal, generation = self._checked.get(_digest(token), (None, 0))
        return principal if generation == self._keys.generation else None

    async def check(self, token: str) -> Principal:
        """Tell whose token it is. Raises Unauthenticated; of what is wrong only a token of the provider's own tells."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise Unauthenticated(_UNKNOWN) from None
        kid = header.get("kid")
        key = await self._keys.find(kid) if kid is None or isinstance(kid, str) else None
        if key is None or "crit" in header:  # what must be understood, and isn't here
            raise Unauthenticated(_UNKNOWN)
        principal = self._principal(self._verified(token, key))
        self._checked[_digest(token)] = principal, self._keys.generation
        if len(self._checked) > MAX_CHECKED:
            self._checked.popitem(last=False)
        return principal

    def _verified(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        claims = self._claims
        try:
            payload: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=claims.audience,
                issuer=claims.issuer,
                leeway=claims.leeway_s,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired; get another one from the OpenID provider") from None
        except jwt.ImmatureSignatureError:
            raise Unauthenticated("the token does not count yet (nbf, iat); compare the clocks") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"the token has no claim {error.claim}; it needs {', '.join(_REQUIRED)}") from None
        except jwt.InvalidAudienceError:
            raise Unauthenticated(f"the token is for another audience (aud) than {claims.audience}") from None
        except jwt.InvalidIssuerError:
            raise Unauthenticated(f"the token is of another issuer (iss) than {claims.issuer}") from None
        except jwt.InvalidTokenError:
            raise Unauthenticated(_UNKNOWN) from None
        return payload

    def _principal(self, payload: Mapping[str, Any]) -> Principal:
        claims = self._claims
        tenant, found = _claim(payload, claims.tenant), _claim(payload, claims.roles)
        if not isinstance(tenant, str) or TENANT.fullmatch(tenant) is None:
            raise Unauthenticated(f"the token's claim {claims.tenant} names no tenant: 1 to 63 of a-z, 0-9, _ and -")
        words = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        roles = frozenset(role for role in Role if role.value in words)
        ends_at = min(float(payload["exp"]) + claims.leeway_s, _LAST.timestamp())
        return Principal(tenant, str(payload["sub"])[:255], roles, datetime.fromtimestamp(ends_at, UTC))


def _claim(payload: Mapping[str, Any], name: str) -> object:
    """Read a claim by its name, which may have dots and slashes, or by a path of names."""
    if name in payload:
        return payload[name]
    found: object = payload
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
