"""Options, environment and profiles: which of them says where the server is, and as whom it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebatch_client import ConnectionSettings, InvalidRequestError
from imagebatch_client.cli.config import settings_typed

PROFILES = """
[profiles.default]
address = "localhost:1"
token = "of-default"

[profiles.work]
address = "images.example:443"
token_file = "work.token"
tls_ca = "~/ca.pem"
tenant = "cats"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.toml").write_text(PROFILES)
    (tmp_path / "config.toml").chmod(0o600)
    monkeypatch.setenv("IMAGEBATCH_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("ADDRESS", "TOKEN", "TOKEN_FILE", "PROFILE"):
        monkeypatch.delenv(f"IMAGEBATCH_{name}", raising=False)
    return tmp_path


def test_a_profiles_paths_are_beside_its_file(folder: Path) -> None:
    assert settings_typed({"profile": "work"}) == ConnectionSettings(
        "images.example:443",
        token_file=str(folder / "work.token"),
        tls_ca=str(folder / "home" / "ca.pem"),
        tenant="cats",
    )


def test_a_token_or_its_file_takes_the_place_of_both_below(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_typed({}).token == "of-default"
    monkeypatch.setenv("IMAGEBATCH_TOKEN_FILE", "/run/token")
    found = settings_typed({})
    assert (found.token, found.token_file) == (None, "/run/token")
    found = settings_typed({"token": "typed"})
    assert (found.token, found.token_file) == ("typed", None)
    assert settings_typed({"token": ""}) == ConnectionSettings("localhost:1")


def test_options_come_first_and_switches_may_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_TLS", "1")
    monkeypatch.setenv("IMAGEBATCH_TENANT", "dogs")
    assert settings_typed({"tls": False, "tenant": "birds"}) == ConnectionSettings(
        "localhost:1", token="of-default", tls=False, tenant="birds"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('tokn = "x"', "profiles.default.tokn is unknown; did you mean token?"),
        ("tls = 1", "profiles.default.tls is int; give a bool"),
        ("tenant = 3", "profiles.default.tenant is int; give a str"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(folder: Path, line: str, told: str) -> None:
    (folder / "config.toml").write_text(f"[profiles.default]\n{line}\n")
    with pytest.raises(InvalidRequestError) as caught:
        settings_typed({})
    assert told in str(caught.value)


def test_a_file_that_somebody_names_has_to_be_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.toml").unlink()
    with pytest.raises(InvalidRequestError, match=r"IMAGEBATCH_CONFIG: .*config\.toml does not exist"):
        settings_typed({})
    monkeypatch.delenv("IMAGEBATCH_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    assert settings_typed({}) == ConnectionSettings()
