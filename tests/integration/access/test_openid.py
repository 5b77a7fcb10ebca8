"""Tokens of an OpenID provider, fetched keys and all: what counts, what does not, and how often it is asked."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from tests.integration.access.provider import AUDIENCE, Provider, SigningKey, providing
from tests.integration.server.calls import Raw, refused
from tests.server import running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.access import openid, provider_keys
from imagebatch_server.access.openid import Claims, OpenIdTokens
from imagebatch_server.access.principal import Role
from imagebatch_server.access.provider_keys import ProviderKeys
from imagebatch_server.app.authority import Authority
from imagebatch_server.batches.errors import Unauthenticated


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def provider(authority: Authority) -> Iterator[Provider]:
    with providing(authority) as running:
        yield running


def checker(provider: Provider, authority: Authority, **claims: Any) -> OpenIdTokens:
    keys = ProviderKeys(provider.issuer, authority.certificate)
    return OpenIdTokens(keys, Claims(provider.issuer, AUDIENCE, **claims))


@pytest.fixture
def tokens(provider: Provider, authority: Authority) -> OpenIdTokens:
    return checker(provider, authority)


def unsecured(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims)}.{signature}"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_good_token_names_its_tenant_roles_and_end(
    algorithm: str, provider: Provider, tokens: OpenIdTokens
) -> None:
    provider.keys = [SigningKey("k", algorithm)]
    exp = int(time.time()) + 600
    principal = await tokens.check(provider.token(exp=exp, roles="reader operator"))
    assert (principal.tenant, principal.name) == ("acme", "ada")
    assert principal.roles == frozenset({Role.READER, Role.OPERATOR})
    assert principal.expires_at is not None
    assert principal.expires_at.timestamp() == exp + 10


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"exp": -60}, "has expired"),
        ({"exp": None}, "no claim exp"),
        ({"aud": "another service"}, "another audience"),
        ({"aud": None}, "no claim aud"),
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"nbf": 60}, "does not count yet"),
        ({"iat": 3600}, "does not count yet"),
        ({"sub": None}, "no claim sub"),
        ({"tenant": None}, "names no tenant"),
        ({"tenant": "Acme"}, "names no tenant"),
        ({"tenant": "../acme"}, "names no tenant"),
        ({"tenant": ["acme"]}, "names no tenant"),
    ],
)
async def test_what_a_token_lacks_is_told_to_whom_the_provider_gave_it(
    claims: dict[str, Any], says: str, provider: Provider, tokens: OpenIdTokens
) -> None:
    now = time.time()  # times of claims are from now
    claims = {claim: now + value if isinstance(value, int) else value for claim, value in claims.items()}
    with pytest.raises(Unauthenticated, match=says):
        await tokens.check(provider.token(**claims))


async def test_forged_tokens_are_refused_all_alike(provider: Provider, tokens: OpenIdTokens) -> None:
    claims, key = provider.claims(), provider.keys[0]
    pem = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    stranger = SigningKey(key.kid, "RS256")
    good = key.sign(claims)
    head, body, signature = good.split(".")
    hs256_token = unsecured({"alg": "HS256", "kid": key.kid}, claims).rstrip(".")
    confused = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(hs256_token.encode(), pem)
    forged = {
        "unsigned": unsecured({"alg": "none", "kid": key.kid}, claims),
        "unsigned, in capitals": unsecured({"alg": "NONE", "kid": key.kid}, claims),
        "HS256 with the public key": f"{hs256_token}.{base64.urlsafe_b64encode(confused).rstrip(b'=').decode()}",
        "a stranger's key": stranger.sign(claims),
        "another algorithm of the key": jwt.encode(claims, key.private, "RS512", headers={"kid": key.kid}),
        "a key of its own in the header": stranger.sign(claims, jwk=stranger.published),
        "an address of keys in the header": stranger.sign(claims, jku=f"{provider.issuer}/keys"),
        "a path for an id": key.sign(claims, kid="../../etc/passwd"),
        "something to be understood": key.sign(claims, crit=["x"], x=1),
        "another body": f"{head}.{unsecured({}, claims | {'tenant': 'other'}).split('.')[1]}.{signature}",
        "no signature": f"{head}.{body}.",
        "no token": "a.b.c",
    }
    assert (await tokens.check(good)).tenant == "acme"
    messages = set()
    for name, token in forged.items():
        with pytest.raises(Unauthenticated) as refused:
            pytest.fail(f"{name}: {await tokens.check(token)}")
        messages.add(str(refused.value))
        assert token not in str(refused.value)
    assert len(messages) == 1


async def test_a_token_without_a_key_id_counts_where_there_is_one_key(
    provider: Provider, tokens: OpenIdTokens, authority: Authority
) -> None:
    token = jwt.encode(provider.claims(), provider.keys[0].private, "RS256")
    assert (await tokens.check(token)).name == "ada"
    provider.keys.append(SigningKey("two", "ES256"))
    with pytest.raises(Unauthenticated):
        await checker(provider, authority).check(token)


async def test_claims_are_found_by_name_or_by_path(provider: Provider, authority: Authority) -> None:
    tokens = checker(provider, authority, tenant="https://acme.example/tenant", roles="realm_access.roles")
    token = provider.token(
        **{"https://acme.example/tenant": "acme", "realm_access": {"roles": ["reader", "offline_access"]}}
    )
    assert (await tokens.check(token)).roles == {Role.READER}


async def test_keys_that_check_nothing_here_are_left_out(provider: Provider, tokens: OpenIdTokens) -> None:
    secret = {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode()}
    provider.keys[0].published = dict(provider.keys[0].published)
    provider.keys += [_published(secret), _published({**SigningKey("enc", "RS256").published, "use": "enc"})]
    assert (await tokens.check(provider.token())).name == "ada"
    with pytest.raises(Unauthenticated):
        await tokens.check(jwt.encode(provider.claims(), b"s" * 32, "HS256", headers={"kid": "oct"}))


def _published(jwk: dict[str, Any]) -> SigningKey:
    key = SigningKey(str(jwk["kid"]), "ES256")
    key.published = jwk
    return key


async def test_unknown_key_ids_ask_the_provider_once_a_minute(
    provider: Provider, tokens: OpenIdTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tokens.check(provider.token())
    for number in range(50):
        with pytest.raises(Unauthenticated):
            await tokens.check(provider.keys[0].sign(provider.claims(), kid=f"made up {number}"))
    assert provider.asked == 1
    provider.keys.insert(0, SigningKey("two", "ES256"))
    with pytest.raises(Unauthenticated):
        await tokens.check(provider.token())
    monkeypatch.setattr(provider_keys, "ASK_AGAIN_S", 0.0)  # a minute later
    assert (await tokens.check(provider.token())).name == "ada"
    assert provider.asked == 2


async def test_while_the_provider_is_away_known_keys_go_on(
    provider: Provider, tokens: OpenIdTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "ASK_AGAIN_S", 0.0)
    await tokens.check(provider.token())
    provider.is_away = True
    with pytest.raises(Unauthenticated):
        await tokens.check(provider.keys[0].sign(provider.claims(), kid="new"))
    assert (await tokens.check(provider.token(sub="eve"))).name == "eve"


async def test_a_withdrawn_key_takes_the_tokens_that_were_checked_with_it(
    provider: Provider, tokens: OpenIdTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.token()
    await tokens.check(token)
    assert tokens.remembered(token) == await tokens.check(token)
    monkeypatch.setattr(provider_keys, "ASK_AGAIN_S", 0.0)
    provider.keys = [SigningKey("two", "ES256")]
    await tokens.check(provider.token())
    assert tokens.remembered(token) is None
    with pytest.raises(Unauthenticated):
        await tokens.check(token)


async def test_a_provider_of_another_name_or_certificate_gives_no_keys(
    provider: Provider, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    for keys in (
        ProviderKeys(provider.issuer, stranger.certificate),
        ProviderKeys(f"{provider.issuer}/", authority.certificate),
    ):
        assert await keys.find("one") is None


async def test_what_was_checked_is_remembered_within_bounds(
    provider: Provider, tokens: OpenIdTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid, "MAX_CHECKED", 2)
    made = [provider.token(sub=name) for name in ("ada", "eve", "bob")]
    for token in made:
        await tokens.check(token)
    assert [tokens.remembered(token) is not None for token in made] == [False, True, True]


def test_a_whole_server_takes_the_provider_s_tokens(provider: Provider, authority: Authority, folder: Path) -> None:
    settings = {
        "openid_issuer": provider.issuer,
        "openid_audience": AUDIENCE,
        "openid_ca": str(authority.certificate),
    }
    with running_server(folder / "data", settings) as server:
        raw = Raw(server.address)

        def info(token: str) -> object:
            metadata = (("authorization", f"Bearer {token}"),)
            return raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest(), metadata=metadata)

        assert info(provider.token(roles=["reader"]))
        assert refused(lambda: info(provider.token(aud="another"))).code is grpc.StatusCode.UNAUTHENTICATED
        assert refused(lambda: info(provider.token(roles=[]))).code is grpc.StatusCode.PERMISSION_DENIED
        raw.close()
