"""Who makes a call, judged by what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from imagebatch_server.access.access_file import KnownCallers
from imagebatch_server.access.certificate import Certificate
from imagebatch_server.access.credentials import AUTHORIZATION, Credentials
from imagebatch_server.access.credentials import TENANT as TENANT_HEADER
from imagebatch_server.access.failed_attempts import FailedAttempts
from imagebatch_server.access.openid import OpenIdTokens
from imagebatch_server.access.principal import ANONYMOUS, TENANT, Principal, Role
from imagebatch_server.batches.errors import InvalidRequest, PermissionDenied, Unauthenticated, Violation

_SCHEME = "bearer "


def _now() -> datetime:
    return datetime.now(UTC)


class Authenticator:
    """Make a Principal of what a caller shows: a token of the access file, a provider's, or a certificate.

    Where neither file nor provider is configured, everybody is ANONYMOUS.
    """

    def __init__(
        self,
        attempts: FailedAttempts,
        callers: Callable[[], KnownCallers] | None = None,
        openid: OpenIdTokens | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._attempts = attempts
        self._callers = callers
        self._openid = openid
        self._now = now

    @property
    def asks(self) -> bool:
        """Whether anybody is asked who they are."""
        return self._callers is not None or self._openid is not None

    def recognizes(self, credentials: Credentials) -> bool:
        """Whether what a caller shows is known already to be good."""
        return self._known(credentials) is not None

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Tell who calls.

        Raises Unauthenticated, PermissionDenied, LimitExceeded, and InvalidRequest for what is no tenant's name.
        """
        if not self.asks:
            return _acting(ANONYMOUS, credentials.tenant)
        known = self._known(credentials)
        if known is None:
            self._attempts.check(credentials.host)
        try:
            return self._lasting(known or await self._judged(credentials), credentials.tenant)
        except Unauthenticated:
            self._attempts.failed(credentials.host)
            raise

    async def reconsider(self, credentials: Credentials) -> Principal:
        """Tell who makes a call that goes on. Raises the same, but for LimitExceeded: nobody is attempting anything."""
        if not self.asks:
            return _acting(ANONYMOUS, credentials.tenant)
        return self._lasting(self._known(credentials) or await self._judged(credentials), credentials.tenant)

    def _known(self, credentials: Credentials) -> Principal | None:
        """Find who shows what was found good before: that costs next to nothing."""
        callers = None if self._callers is None else self._callers()
        token = _token(credentials)
        if token is None:
            return _of_certificate(callers, credentials.certificate)
        found = None if callers is None else callers.of_token(token)
        return self._openid.remembered(token) if found is None and self._openid is not None else found

    async def _judged(self, credentials: Credentials) -> Principal:
        token = _token(credentials)
        if token is None:
            form = f"`{AUTHORIZATION}: Bearer TOKEN`"
            if credentials.authorization is not None:
                raise Unauthenticated(f"{AUTHORIZATION}: is not of the form {form}")
            raise Unauthenticated(
                f"{AUTHORIZATION}: this server asks who calls; send {form}, for instance by IMAGEBATCH_TOKEN or "
                "IMAGEBATCH_TOKEN_FILE"
            )
        if self._openid is not None and token.count(".") == 2:
            return await self._openid.check(token)
        raise Unauthenticated("the token does not count here: it is not right, or was revoked; ask for another one")

    def _lasting(self, principal: Principal, tenant: str | None) -> Principal:
        if principal.has_expired(self._now()):
            raise Unauthenticated(
                f"what {principal.name} showed has expired, at {principal.expires_at:%Y-%m-%dT%H:%M:%SZ}; renew it"
            )
        return _acting(principal, tenant)


def _token(credentials: Credentials) -> str | None:
    words = credentials.authorization or ""
    return words[len(_SCHEME) :].strip() if words.lower().startswith(_SCHEME) else None


def _of_certificate(callers: KnownCallers | None, certificate: Certificate | None) -> Principal | None:
    if callers is None or certificate is None:
        return None
    principal = callers.of_certificate(certificate.names)
    if principal is None:
        return None
    ends_at = certificate.expires_at if principal.expires_at is None else principal.expires_at
    return replace(principal, expires_at=min(ends_at, certificate.expires_at))


def _acting(principal: Principal, tenant: str | None) -> Principal:
    """Let an operator act for the tenant that the call names."""
    if tenant is None:
        return principal
    if not principal.may(Role.OPERATOR):
        raise PermissionDenied(
            f"{TENANT_HEADER}: only a token with the role operator acts for a tenant; leave it out, and your own "
            "tenant's batches answer"
        )
    if TENANT.fullmatch(tenant) is None:
        form = "must be 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit"
        raise InvalidRequest([Violation(TENANT_HEADER, form)])
    return replace(principal, tenant=tenant)
