"""What is in the distributions, and what they ask for besides."""

from __future__ import annotations

import email
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.distributions.conftest import NAMES, Built
from tests.server import REPOSITORY

KIB = 1024
PROJECTS = {"imagebatch-client": "client", "imagebatch": ".", "imagebatch-vision": "server/imagebatch_vision"}
PACKAGES = {
    "imagebatch-client": {"imagebatch", "imagebatch_client", "imagebatch_command"},
    "imagebatch": {"imagebatch_rules", "imagebatch_server"},
    "imagebatch-vision": {"imagebatch_vision"},
}
SOURCES = {
    "imagebatch": "generated/imagebatch",
    "imagebatch_client": "client/imagebatch_client",
    "imagebatch_command": "client/imagebatch_command",
    "imagebatch_rules": "generated/imagebatch_rules",
    "imagebatch_server": "server/imagebatch_server",
    "imagebatch_vision": "server/imagebatch_vision",
}
MOST_BYTES = {"imagebatch-client": 256 * KIB, "imagebatch": 1024 * KIB, "imagebatch-vision": 64 * 1024 * KIB}
NOT_SHIPPED = {"LICENSE", "README.md", "pyproject.toml"}
"""Beside the code of imagebatch_vision, but not of it."""


def project(name: str) -> dict[str, Any]:
    """Read a project's own page."""
    return dict(tomllib.loads((REPOSITORY / PROJECTS[name] / "pyproject.toml").read_text())["project"])


def metadata(wheel: Path) -> Any:
    """Read what an index and pip know of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(path))


def shipped(wheel: Path) -> set[str]:
    """Name the files of a wheel but for its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {path for path in archive.namelist() if ".dist-info/" not in path}


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_has_every_file_of_its_packages_and_no_other(built: Built, name: str) -> None:
    expected = {
        f"{package}/{path.relative_to(REPOSITORY / SOURCES[package])}"
        for package in PACKAGES[name]
        for path in (REPOSITORY / SOURCES[package]).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected -= {f"imagebatch_vision/{file}" for file in NOT_SHIPPED}
    assert shipped(built.wheels[name]) == expected


@pytest.mark.parametrize("name", NAMES)
def test_wheels_and_sdists_are_small(built: Built, name: str) -> None:
    assert built.wheels[name].stat().st_size < MOST_BYTES[name]
    assert built.sdists[name].stat().st_size < MOST_BYTES[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_license_goes_with_each(built: Built, name: str) -> None:
    expected = (REPOSITORY / "LICENSE").read_bytes()
    with zipfile.ZipFile(built.wheels[name]) as wheel:
        (path,) = [path for path in wheel.namelist() if path.endswith(".dist-info/licenses/LICENSE")]
        assert wheel.read(path) == expected
    with tarfile.open(built.sdists[name]) as sdist:
        (member,) = [member for member in sdist.getmembers() if member.name.endswith("/LICENSE")]
        content = sdist.extractfile(member)
        assert content is not None
        assert content.read() == expected


def test_the_clients_wheel_carries_no_trace_of_validation_and_none_of_the_server(built: Built) -> None:
    with zipfile.ZipFile(built.wheels["imagebatch-client"]) as wheel:
        for path in wheel.namelist():
            content = wheel.read(path)
            assert path.endswith("METADATA") or not re.search(rb"buf[./]validate", content), path  # it says so
            assert not re.search(rb"^\s*(import|from) imagebatch_(server|vision|rules)\b", content, re.MULTILINE), path


def test_the_client_needs_three_packages(built: Built) -> None:
    required = metadata(built.wheels["imagebatch-client"]).get_all("Requires-Dist")
    plain = {re.split(r"[<>=~!]", one)[0] for one in required if "extra ==" not in one}
    assert plain == {"googleapis-common-protos", "grpcio", "protobuf"}


def test_the_server_needs_no_model_library(built: Built) -> None:
    required = metadata(built.wheels["imagebatch"]).get_all("Requires-Dist")
    plain = {re.split(r"[\[<>=~!]", one)[0] for one in required if "extra ==" not in one}
    assert "imagebatch-client" in plain
    assert not plain & {"numpy", "onnxruntime", "opencv-python-headless", "rapidocr", "simplejpeg", "imagebatch-vision"}


def test_the_three_have_one_version_and_need_each_other_in_it() -> None:
    (version,) = {project(name)["version"] for name in NAMES}
    required = [
        text
        for name in NAMES
        for group in [project(name)["dependencies"], *project(name)["optional-dependencies"].values()]
        for text in group
        if text.startswith("imagebatch")
    ]
    assert len(required) == 4
    assert all(text.endswith(f">={version}") for text in required), required
