from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from imagebatch_client.credentials import Credentials
from imagebatch_client.errors import InvalidRequestError
from imagebatch_client.settings import DEFAULT_ADDRESS, SWITCHES, TEXTS, ConnectionSettings, settings_from_env
from imagebatch_client.transport import open_channel


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
    assert Credentials(settings).metadata() == (("authorization", "Bearer s3cret"),)
    assert "s3cret" not in repr(settings)


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="IMAGEBATCH_TLS: 'maybe' is neither 1 nor 0"):
        settings_from_env({"IMAGEBATCH_TLS": "maybe"})


@pytest.mark.parametrize(
    ("tls", "tls_ca", "is_tls"), [(None, None, False), (None, "ca.pem", True), (True, None, True), (False, "ca", False)]
)
def test_tls_is_on_when_asked_for(tls: bool | None, tls_ca: str | None, is_tls: bool) -> None:
    assert ConnectionSettings(tls=tls, tls_ca=tls_ca).is_tls is is_tls


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "localhost:1",
        "[::1]:50051",
        "127.8.8.8:1",
        "unix:/run/x",
        "dns:///localhost:1",
        "ipv4:127.0.0.1:1",
    ],
)
def test_a_token_may_go_in_clear_to_this_machine(address: str) -> None:
    assert ConnectionSettings(address, token="t").is_loopback


@pytest.mark.parametrize("address", ["10.0.0.1:50051", "images.example:443", "[2001:db8::1]:1", "dns:///x:1"])
@pytest.mark.parametrize("secret", ["token", "token_file"])
def test_a_token_goes_in_plain_text_to_another_machine_only_when_that_is_said(address: str, secret: str) -> None:
    for tls in (None, False):
        given: dict[str, Any] = {secret: "t", "tls": tls}
        with pytest.raises(InvalidRequestError, match=rf"^{secret}: would travel to .* in plain text; set tls or"):
            ConnectionSettings(address, **given)
        assert not ConnectionSettings(address, **given, insecure_plaintext=True).is_tls
    for encrypted in ({"tls": True}, {"tls_ca": "ca.pem"}):
        given = {secret: "t", **encrypted}
        assert ConnectionSettings(address, **given).is_tls


def test_every_setting_of_the_connection_can_be_in_the_environment() -> None:
    environ = {
        "IMAGEBATCH_TOKEN_FILE": "/run/token",
        "IMAGEBATCH_TENANT": "cats",
        "IMAGEBATCH_TLS_CLIENT_CERTIFICATE": "me.pem",
        "IMAGEBATCH_TLS_CLIENT_KEY": "me.key",
        "IMAGEBATCH_TLS_SERVER_NAME": "images",
        "IMAGEBATCH_INSECURE_PLAINTEXT": "true",
    }
    assert settings_from_env(environ) == ConnectionSettings(
        token_file="/run/token",
        tenant="cats",
        tls_client_certificate="me.pem",
        tls_client_key="me.key",
        tls_server_name="images",
        insecure_plaintext=True,
    )
    of_environment = {*TEXTS, *SWITCHES}
    assert of_environment == {field.name for field in fields(ConnectionSettings)} - {
        "timeout_s", "transfer_timeout_s", "reconnect_for_s", "silence_s"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("IMAGEBATCH_TOKN", "IMAGEBATCH_TOKEN"),
        ("IMAGEBATCH_ADRESS", "IMAGEBATCH_ADDRESS"),
        ("IMAGEBATCH_TLS_CAS", "IMAGEBATCH_TLS_CA"),
        ("IMAGEBATCH_TOKENFILE", "IMAGEBATCH_TOKEN_FILE"),
        ("IMAGEBATCH_PROFILES", "IMAGEBATCH_PROFILE"),
    ],
)
def test_a_mistyped_variable_is_not_overlooked(variable: str, meant: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{variable}: is read by nobody; did you mean {meant}\\?$"):
        settings_from_env({variable: "x"})


def test_variables_of_others_are_passed_over() -> None:
    others = ("WORKERS", "DATA_DIR", "TLS_CERTIFICATE", "TOKENS_FILE", "PORT", "SERVICE_HOST", "PORT_50051_TCP_ADDR")
    assert settings_from_env({f"IMAGEBATCH_{name}": "x" for name in others}) == ConnectionSettings()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"token": "a b"}, "token: holds what no token can"),
        ({"token": "t", "token_file": "f"}, "token: and token_file are both given"),
        ({"tenant": "Cats"}, "tenant: 'Cats' is none; give 1 to 63 of a-z"),
        ({"tenant": 3}, "tenant: 3 is none"),
        ({"tls_client_certificate": "me.pem"}, "tls_client_certificate: and tls_client_key belong together"),
        ({"tls_server_name": "a/b"}, "tls_server_name: 'a/b' is none; give a host's name"),
        ({"insecure_plaintext": None}, "insecure_plaintext: is NoneType; give True or False"),
        ({"token_file": 3}, "token_file: is int; give the path of a file"),
        ({"tls": "yes"}, "tls: is str; give True or False"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ConnectionSettings(**wrong)
    assert str(caught.value).startswith(told)


def test_a_missing_authority_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"tls_ca: .*ca\.pem can't be read: No such file"):
        open_channel(ConnectionSettings(tls_ca=tmp_path / "ca.pem"))
    (tmp_path / "ca.pem").write_bytes(b"\x30\x82")
    with pytest.raises(InvalidRequestError, match=r"tls_ca: .*ca\.pem is no PEM file"):
        open_channel(ConnectionSettings(tls_ca=tmp_path / "ca.pem"))
