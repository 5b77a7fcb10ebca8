"""A signed URL permits what it was made for, and nothing that is one byte beside it."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from tests.unit.clock import Clock
from tests.unit.http.keys import Keys

from imagebatch_server.http.keyring import Keyring
from imagebatch_server.http.signing import IMAGES, UPLOADS, BadSignature, UrlSigner

KEY = "acme.00112233445566778899aabbccddeeff"
LIFETIME_S = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
async def signer(clock: Clock) -> UrlSigner:
    keyring = Keyring(Keys())
    await keyring.open()
    return UrlSigner("https://images.example.com", LIFETIME_S, keyring, clock)


def check(signer: UrlSigner, url: str, **changes: str) -> float:
    parts = urlsplit(url)
    kind, tenant, key = parts.path.split("/")[1:]
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    asked = {"kind": kind, "tenant": tenant, "key": key, **changes}
    return signer.check(asked["kind"], asked["tenant"], asked["key"], parameters)


def test_a_url_is_good_until_it_expires(signer: UrlSigner, clock: Clock) -> None:
    url = signer.url("acme", KEY)
    assert url.startswith(f"https://images.example.com/images/acme/{KEY}?")
    assert check(signer, url) == LIFETIME_S
    clock.now += LIFETIME_S - 1
    assert check(signer, url) == 1
    clock.now += 1
    with pytest.raises(BadSignature, match="has expired"):
        check(signer, url)


def test_no_byte_of_a_url_can_be_changed(signer: UrlSigner) -> None:
    url = signer.url("acme", KEY)
    query = urlsplit(url).query
    for at in range(len(query)):
        other = "0" if query[at] != "0" else "1"
        changed = url.replace(query, query[:at] + other + query[at + 1 :])
        with pytest.raises(BadSignature):
            check(signer, changed)
    for changes in ({"tenant": "acmf"}, {"key": KEY[:-1] + "0"}, {"kind": UPLOADS}):
        with pytest.raises(BadSignature, match="signature is not right"):
            check(signer, url, **changes)


def test_a_signature_may_be_any_text(signer: UrlSigner) -> None:
    url = signer.url("acme", KEY)
    for signature in ("", "%C3%A9", "%FF", "%00", "x" * 9_000):
        with pytest.raises(BadSignature, match="signature is not right"):
            check(signer, url[: url.index("signature=")] + f"signature={signature}")


def test_parts_cant_be_moved_into_each_other(signer: UrlSigner) -> None:
    url = signer.url("acme", KEY)
    with pytest.raises(BadSignature):
        check(signer, url, tenant=f"acme\n{KEY}", key="")


def test_an_upload_is_bound_to_size_and_type(signer: UrlSigner) -> None:
    upload = signer.upload_url("acme", KEY, "image/png", 12)
    assert upload.headers == {"content-type": "image/png"}
    assert check(signer, upload.url) == LIFETIME_S
    parts = urlsplit(upload.url)
    for name, value in (("size", "13"), ("type", "image/svg+xml"), ("more", "1")):
        fields = {key: values[0] for key, values in parse_qs(parts.query).items()} | {name: value}
        with pytest.raises(BadSignature):
            check(signer, parts._replace(query=urlencode(fields)).geturl())
    with pytest.raises(BadSignature):
        check(signer, upload.url, kind=IMAGES)


def test_another_servers_secret_is_of_no_use(signer: UrlSigner, clock: Clock) -> None:
    url = signer.url("acme", KEY)
    signer._keyring._secrets["1"] = b"another"
    with pytest.raises(BadSignature):
        check(signer, url)


def test_half_of_the_lifetime_is_left_of_what_is_kept(signer: UrlSigner, clock: Clock) -> None:
    clock.now += LIFETIME_S / 8 - 1
    url = signer.url("acme", KEY)
    clock.now += signer.kept_s
    assert check(signer, url) >= LIFETIME_S / 2


def test_an_image_has_the_same_url_for_a_while(signer: UrlSigner, clock: Clock) -> None:
    url = signer.url("acme", KEY)
    clock.now += LIFETIME_S / 8 - 1
    assert signer.url("acme", KEY) == url
    clock.now += 1
    assert signer.url("acme", KEY) != url
