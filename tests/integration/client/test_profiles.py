"""Profiles of the command line: which server is meant, and what is wrong with the file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.client.scripted import (
    ScriptedServer,
    listed,
    status,
)
from tests.integration.client.terminal import COMMAND, run
from typer.testing import CliRunner

from imagebatch_client.cli.app import app

Serve = Callable[..., ScriptedServer]

PROFILES = """
[profiles.default]
address = "{address}"

[profiles.away]
address = "127.0.0.1:1"
token = "t0ken"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("IMAGEBATCH_CONFIG", str(path))
    monkeypatch.delenv("IMAGEBATCH_ADDRESS", raising=False)
    return path


def by_profile(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "IMAGEBATCH_ADDRESS"}
    return subprocess.run([*COMMAND, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_a_profile_names_a_server(serve: Serve, config: Path) -> None:
    server = serve(ListBatches=[listed(status()), listed(status())])
    config.write_text(PROFILES.format(address=server.address))
    config.chmod(0o600)
    assert by_profile("list").returncode == 0
    away = by_profile("list", "--profile", "away")
    assert (away.returncode, away.stderr[:46]) == (3, "imagebatch: no server answers at 127.0.0.1:1 (")
    assert by_profile("list", "--profile", "away", "--address", server.address).returncode == 0
    assert server.metadata[-1]["authorization"] == "Bearer t0ken"


def test_a_profile_that_is_named_comes_before_the_environment(
    serve: Serve, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(ListBatches=[listed(status())])
    config.write_text(f'[profiles.here]\naddress = "{server.address}"\n[profiles.default]\naddress = "127.0.0.1:1"\n')
    monkeypatch.setenv("IMAGEBATCH_ADDRESS", "127.0.0.1:2")
    assert CliRunner().invoke(app, ["list", "--profile", "here"]).exit_code == 0
    assert "127.0.0.1:2" in CliRunner().invoke(app, ["list"]).stderr


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        (PROFILES, ["--profile", "hone"], "'hone' is no profile; "),
        ("[profiles.default]\nadress = 'x:1'\n", [], "adress is unknown; did you mean address?"),
        ("[profiles.default]\ntls = 'yes'\n", [], "tls is str; give a bool"),
        ("profiles = 3\n", [], "write each profile as a table, [profiles.NAME]"),
        ("[profiles\n", [], "is no TOML"),
    ],
)
def test_what_is_wrong_with_profiles_is_told(
    serve: Serve, config: Path, text: str, arguments: list[str], told: str
) -> None:
    config.write_text(text)
    result = run(serve(), "list", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_token_that_others_can_read_is_told(serve: Serve, config: Path) -> None:
    config.write_text(PROFILES.format(address="127.0.0.1:1"))
    config.chmod(0o644)
    result = run(serve(ListBatches=[listed()]), "list")
    assert f"{config} holds a token and others can read it; run: chmod 600 {config}" in result.stderr
