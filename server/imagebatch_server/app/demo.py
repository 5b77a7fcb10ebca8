"""`imagebatch demo`: the whole service once, on real photographs: serve, submit, watch, results, stop."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from imagebatch_client import BatchClient, ConnectionSettings
from imagebatch_server.app.authority import Authority
from imagebatch_server.app.demo_page import show_page, spoilt, submits
from imagebatch_server.app.demo_ray import ray_cluster

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
    secure: Annotated[
        bool,
        typer.Option("--secure", help="Speak TLS and ask who calls, by a certificate and a token made on the spot."),
    ] = False,
    ray: Annotated[
        bool, typer.Option("--ray", help="Run the operations on a Ray cluster of this machine, made on the spot.")
    ] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Show it in a browser: serve the page too, and go on until Ctrl-C.")
    ] = False,
) -> None:
    """Start a server, submit photographs, watch each one finish, show the results, and stop.

    It uses a free port and a temporary folder, and leaves nothing behind.
    """
    paths = [images.resolve()] if images is not None else photographs()
    if not paths:
        typer.echo(
            "imagebatch demo: no photographs found; install the extra imagebatch[demo], or give a folder by --images",
            err=True,
        )
        raise typer.Exit(2)
    with tempfile.TemporaryDirectory(prefix="imagebatch-demo-") as name, ExitStack() as opened:
        folder = Path(name)
        options, environment = _secured(folder) if secure else ([], {})
        of_server: Mapping[str, str] = {}
        if ray:
            cluster = opened.enter_context(ray_cluster())
            options, of_server = [*options, "--ray-address", cluster.address], cluster.environment
        if page:
            options += ["--http-address", "127.0.0.1:0"]
        server = _start(folder, options, of_server)
        try:
            told = _told(server, options)
            environment["IMAGEBATCH_ADDRESS"] = told.partition(LISTENING)[2].partition(",")[0]
            if page:
                for arguments in submits([*map(str, paths), *spoilt(folder)]):
                    _run(folder, environment, *arguments)
                show_page(told, environment.get("IMAGEBATCH_TOKEN_FILE"))
                return
            code = _run(folder, environment, "submit", *map(str, paths), "--operation", "describe", "--watch")
            with BatchClient(_settings(environment)) as client:
                batch = next(client.list_batches(page_size=1), None)
            if batch is not None:
                typer.echo()
                _run(folder, environment, "results", batch.batch_id)
            if secure:
                typer.echo("\nWithout the token:")
                _run(folder, {**environment, "IMAGEBATCH_TOKEN_FILE": ""}, "list")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_TIMEOUT_S)
    raise typer.Exit(code)


def _secured(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Make what a secure server is started with, and what its clients are told; says what one would type."""
    Authority(folder).issue("server", hosts=["127.0.0.1"])
    typer.echo("# ca.pem, server.pem and server.key: your own authority would issue these.")
    access, made = ["--access-file", "callers.json"], folder / "demo.token"
    typer.echo(f"$ umask 077; imagebatch token create demo --tenant demo {' '.join(access)} > {made.name}")
    made.touch(0o600)
    with made.open("w") as file:
        command = _command("token", "create", "demo", "--tenant", "demo", *access)
        subprocess.run(command, cwd=folder, stdout=file, check=True)
    typer.echo(f"$ export IMAGEBATCH_TLS_CA=ca.pem IMAGEBATCH_TOKEN_FILE={made.name}")
    options = ["--tls-certificate", "server.pem", "--tls-key", "server.key", *access]
    return options, {"IMAGEBATCH_TLS_CA": str(folder / "ca.pem"), "IMAGEBATCH_TOKEN_FILE": str(made)}


def photographs() -> Sequence[Path]:
    found = []
    for package, names in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            found += [Path(spec.origin).parent / name for name in names]
    return [path for path in found if path.exists()]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "imagebatch_client", *arguments]


def _settings(environment: Mapping[str, str]) -> ConnectionSettings:
    return ConnectionSettings(
        environment["IMAGEBATCH_ADDRESS"],
        tls_ca=environment.get("IMAGEBATCH_TLS_CA"),
        token_file=environment.get("IMAGEBATCH_TOKEN_FILE"),
    )


def _start(folder: Path, options: Sequence[str], added: Mapping[str, str]) -> subprocess.Popen[str]:
    own = {"IMAGEBATCH_LOG_LEVEL": "warning", "IMAGEBATCH_WARM_OPERATIONS": "describe"}
    environment = {**os.environ, **own, **added}
    return subprocess.Popen(
        _command("serve", "--address", "127.0.0.1:0", "--data-dir", "data", *options),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the demo, which then stops the server
    )


def _told(server: subprocess.Popen[str], options: Sequence[str]) -> str:
    """Wait for the line by which the server tells that it listens, and where."""
    for line in server.stdout or ():
        if LISTENING in line:
            typer.echo(f"$ {' '.join(['imagebatch', 'serve', *options])}\n{line.strip()}\n")
            return line
    typer.echo("imagebatch demo: the server did not start; what it said stands above", err=True)
    raise typer.Exit(1)


def _run(folder: Path, environment: Mapping[str, str], *arguments: str) -> int:
    shown = [argument if "/" not in argument else Path(argument).name for argument in arguments]
    typer.echo(f"$ imagebatch {' '.join(shown)}")
    return subprocess.run(_command(*arguments), cwd=folder, env={**os.environ, **environment}, check=False).returncode
