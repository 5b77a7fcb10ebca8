"""What a caller shows of itself, before anything of it is believed."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagebatch_server.access.certificate import Certificate

AUTHORIZATION = "authorization"
TENANT = "imagebatch-tenant"
"""By which an operator names the tenant that it acts for."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The call's own words, and what TLS found out about its peer."""

    host: str
    """The address that the call comes from, without its port."""
    authorization: str | None = field(default=None, repr=False)
    tenant: str | None = None
    certificate: Certificate | None = None
