"""The distributions as `make dist` builds them, once for all tests here."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.server import REPOSITORY

NAMES = ("imagebatch-client", "imagebatch", "imagebatch-vision")


@dataclass(frozen=True)
class Built:
    """Where each distribution's files are, by its name."""

    wheels: dict[str, Path]
    sdists: dict[str, Path]


@pytest.fixture(scope="session")
def built() -> Built:
    """Build everything; the wheels are made of the sdists, so that both are whole."""
    done = subprocess.run(["make", "dist"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = REPOSITORY / "dist"
    return Built(
        {name: _only(folder, f"{name.replace('-', '_')}-[0-9]*.whl") for name in NAMES},
        {name: _only(folder, f"{name.replace('-', '_')}-[0-9]*.tar.gz") for name in NAMES},
    )


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path
