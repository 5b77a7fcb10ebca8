"""What a caller shows makes a principal, or is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from imagebatch_server.access import access_file
from imagebatch_server.access.access_file import Caller, KnownCallers
from imagebatch_server.access.authenticator import Authenticator
from imagebatch_server.access.certificate import Certificate
from imagebatch_server.access.credentials import Credentials
from imagebatch_server.access.failed_attempts import FailedAttempts
from imagebatch_server.access.principal import ANONYMOUS, Role
from imagebatch_server.batches.errors import InvalidRequest, LimitExceeded, PermissionDenied, Unauthenticated

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
TOKEN, OPERATOR, OLD = (access_file.new_token() for _ in range(3))
HOST = "10.0.0.1"


def entry(name: str, token: str, role: Role = Role.WRITER, expires_at: datetime = LATER) -> Caller:
    digest = access_file.token_sha256(token)
    return Caller(name=name, tenant="acme", roles=frozenset({role}), expires_at=expires_at, sha256=digest)


CALLERS = [
    entry("ci", TOKEN),
    entry("ops", OPERATOR, Role.OPERATOR),
    entry("old", OLD, expires_at=NOW),
    Caller(name="edge", tenant="acme", roles=frozenset({Role.READER}), certificate="spiffe://acme/edge"),
]


def authenticator(callers: list[Caller] | None = None, most_failed: int = 3) -> Authenticator:
    known = KnownCallers(CALLERS if callers is None else callers)
    return Authenticator(FailedAttempts(most_failed, lambda _: None), lambda: known, now=lambda: NOW)


def showing(token: str | None = None, tenant: str | None = None) -> Credentials:
    return Credentials(HOST, None if token is None else f"Bearer {token}", tenant)


async def test_without_tokens_everybody_is_a_writer_of_the_default_tenant() -> None:
    open_to_all = Authenticator(FailedAttempts(3, lambda _: None))
    assert await open_to_all.authenticate(showing()) == ANONYMOUS
    assert await open_to_all.authenticate(showing("whatever")) == ANONYMOUS
    assert (ANONYMOUS.tenant, sorted(ANONYMOUS.roles)) == ("default", ["writer"])
    with pytest.raises(PermissionDenied):
        await open_to_all.authenticate(showing(tenant="default"))


async def test_a_known_token_names_its_caller() -> None:
    for words in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
        principal = await authenticator().authenticate(Credentials(HOST, words))
        assert (principal.tenant, principal.name, principal.expires_at) == ("acme", "ci", LATER)


@pytest.mark.parametrize(
    "words",
    [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"],
    ids=["none", "empty", "scheme", "scheme and blank", "other scheme", "no scheme", "a letter more"],
)
async def test_anything_else_is_unauthenticated_and_repeated_nowhere(words: str | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await authenticator().authenticate(Credentials(HOST, words))
    assert TOKEN not in str(refused.value)


async def test_an_expired_token_is_refused_by_name() -> None:
    with pytest.raises(Unauthenticated, match="old showed has expired, at 2030-01-01T00:00:00Z"):
        await authenticator().authenticate(showing(OLD))


async def test_an_operator_acts_for_a_tenant_of_the_right_form() -> None:
    principal = await authenticator().authenticate(showing(OPERATOR, tenant="shop"))
    assert (principal.tenant, principal.name) == ("shop", "ops")
    with pytest.raises(InvalidRequest):
        await authenticator().authenticate(showing(OPERATOR, tenant="Shop"))
    for tenant in ("shop", "acme", "Shop"):
        with pytest.raises(PermissionDenied, match="role operator"):
            await authenticator().authenticate(showing(TOKEN, tenant=tenant))


async def test_a_certificate_counts_until_it_or_its_entry_ends_and_a_token_goes_before_it() -> None:
    shown = Certificate(("edge.example", "spiffe://acme/edge"), NOW + timedelta(hours=1))
    credentials = replace(showing(), certificate=shown)
    principal = await authenticator().authenticate(credentials)
    assert (principal.name, principal.expires_at) == ("edge", shown.expires_at)
    assert (await authenticator().authenticate(replace(credentials, authorization=f"Bearer {TOKEN}"))).name == "ci"
    with pytest.raises(Unauthenticated):
        await authenticator().authenticate(replace(credentials, authorization="Bearer wrong"))
    with pytest.raises(Unauthenticated, match="has expired"):
        await authenticator().authenticate(replace(credentials, certificate=replace(shown, expires_at=NOW)))


async def test_after_many_failures_of_an_address_known_tokens_go_on() -> None:
    asked = authenticator()
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await asked.authenticate(showing("wrong"))
    with pytest.raises(LimitExceeded):
        await asked.authenticate(showing("wrong"))
    assert (await asked.authenticate(showing(TOKEN))).name == "ci"


async def test_a_stream_s_caller_is_asked_again_whatever_others_did_meanwhile() -> None:
    callers = list(CALLERS)
    asked = Authenticator(FailedAttempts(1, lambda _: None), lambda: KnownCallers(callers), now=lambda: NOW)
    credentials = showing(TOKEN)
    assert await asked.reconsider(credentials) == await asked.authenticate(credentials)
    with pytest.raises(Unauthenticated):
        await asked.authenticate(showing("wrong"))
    del callers[0]
    with pytest.raises(Unauthenticated):
        await asked.reconsider(credentials)


def test_a_secret_is_in_no_repr() -> None:
    assert "s3cret" not in repr(showing("s3cret"))
