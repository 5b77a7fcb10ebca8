"""Real object stores for tests: SeaweedFS, which speaks S3, and Azurite, the emulator of Azure's.

Each keeps its data in a folder; it may be killed and started again at will.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.node_packages import install_packages
from tests.server import free_port

if TYPE_CHECKING:
    from obstore.store import RetryConfig

START_TIMEOUT_S = 60.0
_ONCE: RetryConfig = {"max_retries": 0}
AZURITE = Path(__file__).parent / "azurite"


class ObjectServer(Protocol):
    """One that runs."""

    environment: dict[str, str]
    """By which a client finds it, as its SDK does."""

    def url(self, prefix: str) -> str:
        """Name a prefix, of a bucket that is there."""

    def start(self) -> None:
        """Start, and wait until it answers."""

    def kill(self) -> None:
        """Kill it as `kill -9` does; a client is refused from now on."""

    def freeze(self) -> None:
        """Have it answer nothing, with connections open."""

    def thaw(self) -> None:
        """Have it go on."""


class _Process:
    """A server in a process of its own."""

    def __init__(self, command: Sequence[str], folder: Path, is_ready: Callable[[], bool]) -> None:
        self._command = command
        self._folder = folder
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} does not answer:\n{(self._folder / 'log').read_text()[-4000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class SeaweedServer(_Process):
    """SeaweedFS with its gateway for S3. In the bucket `open` anybody may read and write, who need not sign."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": "tests", "secretKey": "a-secret-of-tests"}],
            "actions": ["Admin"],
        }
        anybody = {"name": "anonymous", "actions": [f"{action}:open" for action in ("Read", "Write", "List")]}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity, anybody]}))
        (folder / "data").mkdir()
        self._address = f"{host}:{ports['s3']}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
            "AWS_ENDPOINT_URL": f"http://{self._address}",
            "AWS_REGION": "us-east-1",
        }
        command = [
            _program("weed"),
            *("-logtostderr=true", "server", f"-dir={folder / 'data'}", f"-ip={host}", f"-ip.bind={host}"),
            *(f"-{name}.port={port}" for name, port in ports.items()),
            *(f"-{name}.port.grpc={free_port()}" for name in ports),
            *("-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-volume.max=100", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
        ]
        super().__init__(command, folder, self._takes_objects)

    def url(self, prefix: str) -> str:
        return f"s3://tests/{prefix}"

    def _takes_objects(self) -> bool:
        # Its gateway answers before there is a volume to write to. A bucket is made by the first object in it.
        config = {name.lower(): value for name, value in self.environment.items()}
        try:
            for bucket in ("tests", "open"):
                store = S3Store(bucket, config=config, client_options={"allow_http": True}, retry_config=_ONCE)  # type: ignore[arg-type]  # their names, spelled as its own
                obstore.put(store, "ready", b"x")
        except BaseError:
            return False
        return True


class AzuriteServer(_Process):
    """Azurite, as the account that every emulator has."""

    _ACCOUNT = "devstoreaccount1"
    # Public, and the same everywhere: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
    _KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, folder: Path) -> None:
        install_packages(AZURITE)
        port = free_port()
        self._address = f"http://127.0.0.1:{port}"
        self.environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": self._ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": self._KEY,
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURITE_BLOB_STORAGE_URL": self._address,
        }
        program = AZURITE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        command = [
            _program("node"),
            *(str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder / "data")),
            *("--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        ]
        super().__init__(command, folder, self._has_container)

    def url(self, prefix: str) -> str:
        return f"az://tests/{prefix}"

    def _has_container(self) -> bool:
        """Make the container, for which there is no URL and so no obstore."""
        now, version = format_datetime(datetime.now(UTC), usegmt=True), "2021-12-02"
        resource = f"/{self._ACCOUNT}/{self._ACCOUNT}/tests\nrestype:container"
        text = "\n".join(["PUT", *[""] * 11, f"x-ms-date:{now}", f"x-ms-version:{version}", resource])
        digest = hmac.digest(base64.b64decode(self._KEY), text.encode(), hashlib.sha256)
        request = urllib.request.Request(
            f"{self._address}/{self._ACCOUNT}/tests?restype=container",
            method="PUT",
            headers={
                "x-ms-date": now,
                "x-ms-version": version,
                "Authorization": f"SharedKey {self._ACCOUNT}:{base64.b64encode(digest).decode()}",
            },
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code == 409  # it was there before
        except OSError:
            return False
        return True


def _program(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    server = SeaweedServer(tmp_path_factory.mktemp("seaweed"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteServer]:
    server = AzuriteServer(tmp_path_factory.mktemp("azurite"))
    server.start()
    yield server
    server.kill()
