"""The distributions in fresh environments, where nothing else of this repository can be found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.distributions.conftest import NAMES, Built
from tests.integration.server import pictures
from tests.server import READY, REPOSITORY, START_TIMEOUT_S

pytestmark = pytest.mark.timeout(900)

MIB = 1024 * 1024
LOCKED = REPOSITORY / "requirements.lock"


class Environment:
    """A virtual environment with some of the wheels and what they require, in the versions of the lock file."""

    def __init__(self, folder: Path, *wheels: str) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pins = [line.removesuffix("\\") for line in LOCKED.read_text().splitlines() if line[:1].isalnum()]
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join(pins))
        pip = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
        self.run("python", *pip, "install", "--constraint", str(constraints), *wheels)

    def run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment outside of the repository."""
        done = subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=self.folder, env=self.variables(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def variables(self) -> dict[str, str]:
        """Copy the process's variables but for those that lead to this repository."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMAGEBATCH_", "PYTHON"))}
        return {**kept, "IMAGEBATCH_DATA_DIR": str(self.folder / "data"), "IMAGEBATCH_WORKERS": "1"}

    def packages(self) -> set[str]:
        """Name what is installed, normalised."""
        code = "from importlib.metadata import distributions; print(*{found.name for found in distributions()})"
        return {name.lower().replace("_", "-") for name in self.run("python", "-c", code).stdout.split()}

    def size_bytes(self) -> int:
        """Add up everything that is installed but pip and setuptools."""
        (site,) = (self.folder / "lib").glob("python3*/site-packages")
        installed = [path for path in site.iterdir() if not path.name.startswith(("pip", "setuptools", "_distutils"))]
        files = [file for path in installed for file in (path.rglob("*") if path.is_dir() else [path])]
        return sum(file.stat().st_size for file in files if file.is_file())

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Run `imagebatch serve` while the block does; gives the address."""
        command = [str(self.folder / "bin" / "imagebatch"), "serve", "--address", "127.0.0.1:0"]
        server = subprocess.Popen(command, cwd=self.folder, env=self.variables(), stdout=subprocess.PIPE, text=True)
        deadline = threading.Timer(START_TIMEOUT_S, server.kill)
        deadline.start()
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if READY in line)
            yield line.split(READY)[1].split(",")[0]
        finally:
            deadline.cancel()
            server.send_signal(signal.SIGTERM)
            server.wait(40)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "drawn.png"
    path.write_bytes(pictures.drawn(1))
    return path


def test_the_client_alone(built: Built, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "env", str(built.wheels["imagebatch-client"]))

    code = "import imagebatch_client, imagebatch.v1.batch_service_pb2_grpc, imagebatch.v1.image_service_pb2_grpc"
    environment.run("python", "-c", code)
    said = environment.run("imagebatch", "list", check=False)

    assert environment.packages() - {"pip", "setuptools"} == {
        "googleapis-common-protos", "grpcio", "imagebatch-client", "protobuf", "typing-extensions",
    }  # fmt: skip
    assert said.returncode == 2
    assert "pip install 'imagebatch-client[cli]'" in said.stderr
    assert environment.size_bytes() < 40 * MIB


def test_the_command_line_without_a_server(built: Built, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "env", f"{built.wheels['imagebatch-client']}[cli]")

    said = environment.run("imagebatch", "serve", check=False)

    assert "submit" in environment.run("imagebatch", "--help").stdout
    assert (said.returncode, said.stderr) == (
        2, "imagebatch serve needs the server; install with: pip install imagebatch\n",
    )  # fmt: skip


def test_the_server_without_vision(built: Built, tmp_path: Path, picture: Path) -> None:
    client, server = (str(built.wheels[name]) for name in ("imagebatch-client", "imagebatch"))
    environment = Environment(tmp_path / "env", client, server)

    with environment.serving() as address:
        of_server = ("--address", address)
        listed = json.loads(environment.run("imagebatch", *of_server, "operations", "--json").stdout)
        done = environment.run("imagebatch", *of_server, "submit", str(picture), "-o", "thumbnail", "--watch", "--json")
        refused = environment.run("imagebatch", *of_server, "submit", str(picture), "-o", "describe", check=False)

    assert not environment.packages() & {"numpy", "onnxruntime", "opencv-python-headless", "rapidocr", "simplejpeg"}
    assert environment.size_bytes() < 160 * MIB
    assert "describe" not in json.dumps(listed)
    assert '"success"' in done.stdout, done.stdout
    assert refused.returncode != 0
    assert "pip install 'imagebatch[vision]'" in refused.stderr


def test_all_three(built: Built, tmp_path: Path, picture: Path) -> None:
    environment = Environment(tmp_path / "env", *(str(built.wheels[name]) for name in NAMES))

    with environment.serving() as address:
        of_server = ("--address", address)
        said = [
            environment.run("imagebatch", *of_server, "submit", str(picture), "-o", operation, "--watch", "--json")
            for operation in ("describe", "verify", "thumbnail")
        ]

    for done in said:
        assert '"success"' in done.stdout, done.stdout + done.stderr
    assert "description" in said[0].stdout
