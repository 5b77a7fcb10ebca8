"""The container image: built, and its server called as its users call it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.deployment.container import USER, Image, built_image
from tests.integration.server import pictures
from tests.server import READY, START_TIMEOUT_S, free_port

from deployment_secrets import make_secrets
from imagebatch_client import BatchClient, BatchImageInput, ConnectionSettings

pytestmark = [pytest.mark.buildah, pytest.mark.timeout(900)]

MOST_BYTES = 800 * 1000 * 1000
"""Of which a Debian with Python is 150 MB, and what `describe` and `verify` need 350."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    with built_image(tmp_path_factory.mktemp("image")) as image:
        yield image


@dataclass(frozen=True)
class Container:
    """One that runs."""

    process: subprocess.Popen[str]
    settings: ConnectionSettings
    image: Image
    data: Path
    secrets: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the image's command once more, as an engine's `exec` and its health check do."""
        command = self.image.command(self.data, self.secrets, self.environment, *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("container")
    data, mounted = folder / "data", folder / "mounted"
    data.mkdir()
    make_secrets(folder / "secrets")
    shutil.copytree(folder / "secrets", mounted)
    for path in (data, mounted, *mounted.iterdir()):
        os.chown(path, USER, USER)
    address = f"127.0.0.1:{free_port()}"
    environment = {
        # What a container listens on: reachable from other machines, which asks for TLS and tokens.
        "IMAGEBATCH_ADDRESS": address.replace("127.0.0.1", "0.0.0.0"),
        "IMAGEBATCH_TLS_CERTIFICATE": "/run/secrets/server.pem",
        "IMAGEBATCH_TLS_KEY": "/run/secrets/server.key",
        "IMAGEBATCH_ACCESS_FILE": "/run/secrets/callers.json",
        "IMAGEBATCH_WORKERS": "1",
        "IMAGEBATCH_LOG_FORMAT": "console",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            image.command(data, mounted, environment, *image.config["Cmd"]),
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    deadline = threading.Timer(START_TIMEOUT_S, process.kill)
    deadline.start()
    assert process.stdout is not None
    assert any(READY in line for line in process.stdout), (folder / "log").read_text()[-4000:]
    deadline.cancel()
    settings = ConnectionSettings(
        address, tls_ca=folder / "secrets" / "ca.pem", token_file=folder / "secrets" / "demo.token"
    )
    yield Container(process, settings, image, data, mounted, environment)
    if process.poll() is None:
        process.kill()
        process.wait()


def test_it_is_small_and_runs_as_nobody(image: Image) -> None:
    assert image.size_bytes < MOST_BYTES
    assert image.config["User"] == f"{USER}:{USER}"
    site = next((image.root / "opt/imagebatch/lib").glob("python3*")) / "site-packages"
    assert not list(site.glob("pip-*")), "an installer has no business in it"
    assert not (image.root / "source").exists(), "the first stage's files are left there"
    assert not (image.root / "wheels").exists() or not list((image.root / "wheels").iterdir())


def test_nothing_in_it_belongs_to_whom_it_runs_as(image: Image) -> None:
    owned = [path for path in (image.root / "opt").rglob("*") if path.lstat().st_uid == USER]
    assert not owned


def test_its_server_takes_a_batch(container: Container) -> None:
    with BatchClient(container.settings) as client:
        assert client.server_info().workers.alive == 1
        names = {operation.name for operation in client.list_operations()}
        uploaded = client.upload_image(pictures.drawn(1))
        batch = client.submit("thumbnail", [BatchImageInput(object_key=uploaded.object_key)])
        (result,) = client.watch(batch.batch_id)
        assert result.stored_object_key is not None, result.error_message
        assert client.download_image(result.stored_object_key).content
    assert {"describe", "verify", "thumbnail"} <= names


def test_its_root_is_read_only_and_it_has_no_right(container: Container) -> None:
    status = Path(f"/proc/{container.process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert f"Uid:\t{USER}\t{USER}" in status
    mounts = Path(f"/proc/{container.process.pid}/mountinfo").read_text().splitlines()
    (root,) = [line for line in mounts if line.split(" ")[4] == "/"]
    assert root.split(" ")[5].split(",")[0] == "ro"


def test_its_health_check(container: Container) -> None:
    # buildah writes no health check into images of the OCI's format, so what it would run is read from the file.
    check = container.run("health")
    assert (check.returncode, check.stdout) == (0, "SERVING\n"), check.stderr


def test_without_tls_or_tokens_it_refuses_to_start(container: Container) -> None:
    bare = {"IMAGEBATCH_ADDRESS": f"0.0.0.0:{free_port()}"}
    command = container.image.command(container.data, container.secrets, bare, "serve")
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "can be reached from other machines" in refused.stderr


def test_it_stops_in_good_order(container: Container) -> None:
    container.process.send_signal(signal.SIGTERM)
    assert container.process.wait(40) == 0
    assert container.run("health").returncode == 1
