from __future__ import annotations

from pathlib import Path

import pytest

from imagebatch_client.errors import InvalidRequestError
from imagebatch_client.transport import (
    DEFAULT_ADDRESS,
    ConnectionSettings,
    call_metadata,
    open_channel,
    settings_from_env,
)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert settings_from_env({}) == ConnectionSettings()
    assert settings_from_env({"IMAGEBATCH_ADDRESS": "", "IMAGEBATCH_TOKEN": "", "IMAGEBATCH_TLS": ""}) == (
        ConnectionSettings(DEFAULT_ADDRESS)
    )


def test_the_environment_sets_the_connection() -> None:
    environ = {
        "IMAGEBATCH_ADDRESS": "images.example:443",
        "IMAGEBATCH_TOKEN": "s3cret",
        "IMAGEBATCH_TLS": "1",
        "IMAGEBATCH_TLS_CA": "/etc/ca.pem",
    }
    settings = settings_from_env(environ)
    assert settings == ConnectionSettings("images.example:443", token="s3cret", tls=True, tls_ca="/etc/ca.pem")
    assert call_metadata(settings) == (("authorization", "Bearer s3cret"),)
    assert "s3cret" not in repr(settings)


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="IMAGEBATCH_TLS: 'maybe' is neither 1 nor 0"):
        settings_from_env({"IMAGEBATCH_TLS": "maybe"})


@pytest.mark.parametrize(
    ("tls", "tls_ca", "is_tls"), [(None, None, False), (None, "ca.pem", True), (True, None, True), (False, "ca", False)]
)
def test_tls_is_on_when_asked_for(tls: bool | None, tls_ca: str | None, is_tls: bool) -> None:
    assert ConnectionSettings(tls=tls, tls_ca=tls_ca).is_tls is is_tls


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "localhost:1", "[::1]:50051", "127.8.8.8:1", "unix:/run/x"])
def test_a_token_may_go_in_clear_to_this_machine(address: str) -> None:
    assert ConnectionSettings(address, token="t").is_loopback


@pytest.mark.parametrize("address", ["10.0.0.1:50051", "images.example:443", "[2001:db8::1]:1", "dns:///x:1"])
def test_a_token_goes_in_clear_to_another_machine_only_when_that_is_said(address: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"would travel to .* in clear"):
        ConnectionSettings(address, token="t")
    assert not ConnectionSettings(address, token="t", tls=False).is_tls
    assert ConnectionSettings(address, token="t", tls=True).is_tls


def test_a_missing_authority_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"tls_ca: .*ca\.pem can't be read: No such file"):
        open_channel(ConnectionSettings(tls_ca=tmp_path / "ca.pem"))
