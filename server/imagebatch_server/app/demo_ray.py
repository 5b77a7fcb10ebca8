"""The Ray node of `imagebatch demo --ray`: a cluster of this machine alone, which ends with the demo."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec

import typer

_ADDRESS = re.compile(r"ray start --address='([^']+)'")
_STOP_S = 20.0


@dataclass(frozen=True)
class RayCluster:
    """Where it is, and what a process needs in its environment to take part."""

    address: str
    environment: dict[str, str]


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Run a head that is the only node, on a free port, while the block does. Raises typer.Exit if it can't."""
    if find_spec("ray") is None:
        typer.echo("imagebatch demo: --ray needs a package: pip install 'imagebatch[ray]'", err=True)
        raise typer.Exit(2)
    # A token of its own, for Ray listens on the machine's address too.
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        command = ["start", "--head", "--block", "--port=0", "--include-dashboard=false", "--disable-usage-stats"]
        typer.echo(f"$ ray {' '.join(command[:4])}")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", *command),
                *(f"--ray-client-server-port={_free_port()}", f"--temp-dir={folder}", "--object-store-memory=80000000"),
            ],
            env={**os.environ, **token},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends the cluster
        )
        try:
            yield RayCluster(_address(process), token)
        finally:
            process.terminate()  # it ends what it started
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _address(process: subprocess.Popen[str]) -> str:
    said = []
    for line in process.stdout or ():
        said.append(line)
        if (found := _ADDRESS.search(line)) is not None:
            typer.echo(f"Ray runs at {found[1]}\n")
            return found[1]
    typer.echo(f"imagebatch demo: Ray did not start:\n{''.join(said[-20:])}", err=True)
    raise typer.Exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
