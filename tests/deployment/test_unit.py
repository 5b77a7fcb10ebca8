"""deploy/systemd: the unit as systemd's own tools see it, and its settings as the server does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.deployment import safe_settings
from tests.server import REPOSITORY

pytestmark = pytest.mark.systemd

FOLDER = REPOSITORY / "deploy" / "systemd"
MOST_EXPOSURE = 1.5
"""Of 10, by `systemd-analyze security`: what is left is the network, which it is for."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Copy the unit, with this environment's program in the place of the one that is installed."""
    program = Path(sys.executable).parent / "imagebatch"
    text = (FOLDER / "imagebatch.service").read_text()
    assert "/opt/imagebatch/bin/imagebatch serve" in text
    copied = tmp_path / "imagebatch.service"
    copied.write_text(text.replace("/opt/imagebatch/bin/imagebatch", str(program)))
    return copied


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    # Older releases return 0 whatever they print.
    said = analyze("verify", unit)
    assert (said.returncode, said.stderr) == (0, "")


def test_a_wrong_unit_is_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectClock=yes", "ProtectClok=yes"))
    assert "ProtectClok" in analyze("verify", unit).stderr


def test_it_is_confined(unit: Path) -> None:
    looked = analyze("security", "--offline=yes", f"--threshold={int(MOST_EXPOSURE * 10)}", "--json=short", unit)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert json.loads(looked.stdout)


def test_it_is_given_time_to_stop() -> None:
    lines = (FOLDER / "imagebatch.service").read_text().splitlines()
    (stop,) = [line for line in lines if line.startswith("TimeoutStopSec=")]
    assert int(stop.partition("=")[2]) > safe_settings.STOP_S


def test_its_settings_are_the_servers_and_safe() -> None:
    lines = (FOLDER / "imagebatch.env").read_text().splitlines()
    pairs = [line.removeprefix("#").partition("=") for line in lines if line.removeprefix("#").startswith("IMAGEBATCH")]
    given = {name: value for name, _, value in pairs}
    safe_settings.check(given)
