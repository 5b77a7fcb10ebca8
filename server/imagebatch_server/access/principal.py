"""Who calls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""The form of a tenant's name, whole; it is never folded."""


class Role(StrEnum):
    """What a caller may do. Each role may do what those before it may."""

    READER = "reader"
    WRITER = "writer"
    OPERATOR = "operator"


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever makes a call: the tenant whose batches and objects it may touch, and what it may do with them."""

    tenant: str
    name: str
    """Of the token, the JWT's subject or the certificate; it stands in the audit log."""
    roles: frozenset[Role]
    expires_at: datetime | None = None
    """When what it showed ceases to count; None: never by itself."""

    def may(self, role: Role) -> bool:
        """Whether it has a role, or one that may more."""
        return any(_RANKS[own] >= _RANKS[role] for own in self.roles)

    def has_expired(self, now: datetime) -> bool:
        """Whether what it showed has ceased to count."""
        return self.expires_at is not None and self.expires_at <= now


ANONYMOUS = Principal(tenant="default", name="anonymous", roles=frozenset({Role.WRITER}))
"""Every caller of a server that has no tokens configured."""

NO_TENANT = ""
"""What strangers have in a tenant's place: no tenant has this name."""


def stranger(host: str) -> Principal:
    """Make the principal of an address, for whoever shows nothing where that will do."""
    return Principal(tenant=NO_TENANT, name=host, roles=frozenset({Role.READER}))
