"""What is refused at start: half a configuration, and an address that is more open than the settings allow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from imagebatch_server.access import access_file
from imagebatch_server.access.exposure import is_loopback
from imagebatch_server.app.access import open_access
from imagebatch_server.app.authority import Authority
from imagebatch_server.app.metrics import Metrics
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart

OPEN = "0.0.0.0:50051"


async def opened(**settings: Any) -> None:
    async with open_access(Settings(**settings), Metrics()):
        pass


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"address": OPEN}, "--tls-certificate and --tls-key, or --insecure-plaintext"),
        ({"address": OPEN}, "--access-file"),
        ({"address": OPEN, "insecure_plaintext": True}, "--insecure-anonymous"),
        ({"address": OPEN, "insecure_anonymous": True}, "--insecure-plaintext"),
        ({"metrics_address": "0.0.0.0:9090", "insecure_anonymous": True}, "--metrics-address 0.0.0.0:9090"),
        ({"tls_certificate": "x.pem"}, "--tls-certificate and --tls-key need each other"),
        ({"tls_client_ca": "x.pem"}, "--tls-client-ca"),
        ({"openid_issuer": "https://id.example"}, "--openid-audience"),
        ({"openid_issuer": "https://id.example", "openid_audience": "a", "openid_ca": "/no.pem"}, "--openid-ca"),
        ({"access_file": "/nowhere/callers.json"}, "/nowhere/callers.json: No such file or directory"),
    ],
)
async def test_it_is_refused_with_the_settings_to_give(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(CannotStart, match=re.escape(says)):
        await opened(**settings)


async def test_a_file_that_is_missing_is_named_once() -> None:
    with pytest.raises(CannotStart) as caught:
        await opened(access_file="/nowhere/callers.json")
    assert str(caught.value) == "/nowhere/callers.json: No such file or directory"


async def test_with_tls_and_tokens_any_address_is_taken(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue("server", hosts=["localhost"])
    with access_file.changing(tmp_path / "callers.json"):
        pass
    secure = {"tls_certificate": certificate, "tls_key": key, "access_file": tmp_path / "callers.json"}
    await opened(address=OPEN, **secure)
    with pytest.raises(CannotStart, match="--metrics-address"):  # which knows neither
        await opened(address=OPEN, metrics_address="0.0.0.0:9090", **secure)


async def test_files_that_don_t_belong_together_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.issue("one")
    _, key = authority.issue("two")
    with pytest.raises(CannotStart, match="not the one of the key"):
        await opened(tls_certificate=certificate, tls_key=key)


@pytest.mark.parametrize(
    ("address", "loops"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.1:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        (":1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_loopback_is_what_no_other_machine_reaches(address: str, loops: bool) -> None:
    assert is_loopback(address) is loops
