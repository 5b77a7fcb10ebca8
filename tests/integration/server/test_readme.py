"""What README.md shows works as it stands there, but for the address."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, plain
from tests.server import REPOSITORY, ServerProcess, running_server

README = (REPOSITORY / "README.md").read_text()
ADDRESS = "127.0.0.1:50051"


def block(language: str, word: str) -> str:
    """Find the one fenced block of a language that has a word in it."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if word in text]
    return str(found)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "my_package.py").write_text(block("python", "class Mean("))
    ((name, reference),) = re.findall(r'^([\w-]+) = "(my_package:\w+)"$', block("toml", "entry-points"), re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        with running_server(folder / "data", operations={name: reference}) as running:
            yield running


def test_the_client_example(server: ServerProcess, tmp_path: Path) -> None:
    example = block("python", "BatchClient(")
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(pictures.drawn(image_format="JPEG"))
    done = run([sys.executable, "-c", example.replace(ADDRESS, server.address)], tmp_path)
    watched, paged = done.splitlines()
    assert watched.startswith("cat ")
    assert "description" in paged


def test_the_calls_by_reflection(server: ServerProcess, tmp_path: Path) -> None:
    shown = block("sh", "buf curl").replace(ADDRESS, server.address)
    listed, submitted = [json.loads(run(["bash", "-ec", command], tmp_path)) for command in shown.split("\n\n")]
    assert "describe" in [operation["name"] for operation in listed["operations"]]
    assert submitted["totalItems"] == 1


def run(command: list[str], folder: Path) -> str:
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_operation(server: ServerProcess) -> None:
    raw = Raw(server.address)
    submitted = raw.submit([item(image_base64=pictures.data_url(pictures.drawn(200)))], operation="mean-colour")
    (result,) = raw.watch_to_end(submitted.batch_id).results
    raw.close()
    assert sorted(plain(result.output_data)) == ["blue", "green", "red"], result.error_message
