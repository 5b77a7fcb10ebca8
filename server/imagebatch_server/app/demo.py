"""`imagebatch demo`: the whole service once, on real photographs: serve, submit, watch, results, stop."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from imagebatch_client import BatchClient

# Photographs and pages that ship inside packages, so that the demo needs no network.
PHOTOGRAPHS = {
    "skimage": (
        "data/astronaut.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/coffee.png",
        "data/coins.png",
        "data/motorcycle_right.png",
        "data/page.png",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
LISTENING = " listening on "
STOP_TIMEOUT_S = 40.0


def demo(
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            exists=True,
            help="A folder of your own pictures; absent: photographs that ship inside scikit-image, scikit-learn and "
            "matplotlib.",
        ),
    ] = None,
) -> None:
    """Start a server, submit photographs, watch each one finish, show the results, and stop.

    It uses a free port and a temporary folder, and leaves nothing behind.
    """
    paths = [images] if images is not None else _photographs()
    if not paths:
        typer.echo(
            "imagebatch demo: no photographs found; install the extra imagebatch[demo], or give a folder by --images",
            err=True,
        )
        raise typer.Exit(2)
    with tempfile.TemporaryDirectory(prefix="imagebatch-demo-") as folder:
        server = _start(Path(folder))
        try:
            address = _address(server)
            code = _run(address, "submit", *map(str, paths), "--operation", "describe", "--watch")
            with BatchClient(address) as client:
                batch = next(client.list_batches(page_size=1), None)
            if batch is not None:
                typer.echo()
                _run(address, "results", batch.batch_id)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_TIMEOUT_S)
    raise typer.Exit(code)


def _photographs() -> Sequence[Path]:
    found = []
    for package, names in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            found += [Path(spec.origin).parent / name for name in names]
    return [path for path in found if path.exists()]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "imagebatch_client", *arguments]


def _start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "IMAGEBATCH_LOG_LEVEL": "warning", "IMAGEBATCH_WARM_OPERATIONS": "describe"}
    return subprocess.Popen(
        _command("serve", "--address", "127.0.0.1:0", "--data-dir", str(folder / "data")),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the demo, which then stops the server
    )


def _address(server: subprocess.Popen[str]) -> str:
    for line in server.stdout or ():
        if LISTENING in line:
            typer.echo(f"$ imagebatch serve\n{line.strip()}\n")
            return line.split(LISTENING)[1].split(",")[0]
    typer.echo("imagebatch demo: the server did not start; what it said stands above", err=True)
    raise typer.Exit(1)


def _run(address: str, *arguments: str) -> int:
    shown = [argument if "/" not in argument else Path(argument).name for argument in arguments]
    typer.echo(f"$ imagebatch {' '.join(shown)}")
    return subprocess.run(
        _command(*arguments), env={**os.environ, "IMAGEBATCH_ADDRESS": address}, check=False
    ).returncode
