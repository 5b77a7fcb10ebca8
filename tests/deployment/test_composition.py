"""deploy/compose.yaml: read as an engine would, and its parts started as plain processes, as `make cluster` does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from tests.deployment import safe_settings
from tests.deployment.container import USER
from tests.integration.server import pictures
from tests.server import REPOSITORY

from deployment_secrets import OF_IMAGE, make_secrets
from imagebatch_client import BatchClient, BatchImageInput, ConnectionSettings

COMPOSE = REPOSITORY / "deploy" / "compose.yaml"
START_TIMEOUT_S = 100
END_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


@pytest.fixture(scope="module")
def servers(composed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {name: each for name, each in composed["services"].items() if each["image"] == "imagebatch"}
    assert len(found) == 2
    return found


def test_every_name_leads_somewhere(composed: dict[str, Any], tmp_path: Path) -> None:
    make_secrets(tmp_path)
    for secret in composed["secrets"].values():
        assert (tmp_path / Path(secret["file"]).name).exists(), secret
    for service in composed["services"].values():
        assert set(service.get("secrets", ())) <= composed["secrets"].keys()
        assert set(service.get("depends_on", ())) <= composed["services"].keys()
        assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= composed["volumes"].keys()
        for file in service.get("env_file", ()):
            assert (tmp_path / Path(file).name).exists()


def test_the_servers_settings_are_known_and_safe(servers: dict[str, dict[str, Any]]) -> None:
    for service in servers.values():
        given = service["environment"]
        safe_settings.check(given)
        files = {text.rpartition("/")[2] for text in given.values() if "/run/secrets/" in text}
        assert files == set(service["secrets"]) == set(OF_IMAGE)
        assert service["read_only"]
        assert service["user"] == f"{USER}:{USER}"


def test_each_server_has_a_folder_and_ports_of_its_own(servers: dict[str, dict[str, Any]]) -> None:
    volumes = [volume for each in servers.values() for volume in each["volumes"]]
    ports = [port.rpartition(":")[0] for each in servers.values() for port in each["ports"]]
    assert len({*volumes}) == len(volumes) == 2
    assert len({*ports}) == len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


class RunningCluster:
    """`scripts/cluster.py`, and what it printed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "scripts/cluster.py", "--without-ray"],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = threading.Timer(START_TIMEOUT_S, self.process.kill)
        deadline.start()
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        deadline.cancel()
        self.said = "".join(said)
        assert "Ctrl-C" in self.said, self.said + str(self.process.stderr and self.process.stderr.read())
        exported = dict(re.findall(r"IMAGEBATCH_(\w+)=(\S+)", self.said))
        self.settings = ConnectionSettings(
            exported["ADDRESS"],
            tls_ca=exported["TLS_CA"],
            tls_server_name=exported["TLS_SERVER_NAME"],
            token_file=exported["TOKEN_FILE"],
        )
        self.folder = Path(exported["TLS_CA"]).parents[1]

    def processes(self) -> list[psutil.Process]:
        """Find everything that was started for it, whoever's child it is by now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.folder) in " ".join([*process.cmdline(), *process.environ().values()]):
                    found.append(process)
        return found


@pytest.fixture
def cluster() -> Iterator[RunningCluster]:
    running = RunningCluster()
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(END_TIMEOUT_S)


@pytest.mark.postgres
@pytest.mark.timeout(START_TIMEOUT_S + 3 * END_TIMEOUT_S)
@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_the_parts_run_here_and_leave_nothing(cluster: RunningCluster, end: str) -> None:
    with BatchClient(cluster.settings) as client:
        keys = [client.upload_image(pictures.drawn(number)).object_key for number in range(4)]
        batches = [client.submit("thumbnail", [BatchImageInput(object_key=key) for key in keys]) for _ in range(2)]
        for batch in batches:
            results = list(client.watch(batch.batch_id))
            assert len(results) == 4
            assert not [result.error_message for result in results if result.error_message]
    assert cluster.said.count("server-") == 2
    started = cluster.processes()
    assert {"weed", "postgres"} <= {process.name() for process in started}

    cluster.process.send_signal(getattr(signal, end))

    cluster.process.wait(END_TIMEOUT_S)
    _, left = psutil.wait_procs(started, timeout=END_TIMEOUT_S)
    assert not left
    assert not cluster.folder.exists()
