"""Ray on this machine, which keeps nothing on disk: two actors called directly, or one task an item."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.server import REPOSITORY, free_port

from benchmarks import work
from benchmarks.peers import ROUND_TIMEOUT_S, Answers, Missing, Peer, program

TEMPORARY = "/tmp/ray-benchmark"  # noqa: S108  # a socket's path must be short
# Ray listens on the machine's address too; a token of our own, whatever the user has set or saved.
AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
STARTED = "Ray runtime started"
START_TIMEOUT_S = 120.0


class RayPeer:
    """Ray's driver; `calls` are what takes an item, in turn."""

    def __init__(self, ray: Any, calls: list[Any]) -> None:
        self._ray = ray
        self._calls = calls

    async def batch(self, items: int) -> Answers:
        calls = self._calls
        waiting = [calls[index % len(calls)].remote(work.metadata_of(index)) for index in range(items)]
        answers: Answers = self._ray.get(waiting, timeout=ROUND_TIMEOUT_S)
        return answers

    async def one(self, index: int) -> Mapping[str, Any]:
        called = self._calls[0].remote(work.metadata_of(index))
        answer: Mapping[str, Any] = self._ray.get(called, timeout=ROUND_TIMEOUT_S)
        return answer


@asynccontextmanager
async def _ray(folder: Path) -> AsyncIterator[Any]:
    os.environ.update(AUTHENTICATION)
    try:
        import ray
    except ImportError as error:
        raise Missing(f"ray is not installed here: {error}") from error
    # By its command line, as on a cluster: `ray.init` would fork the node out of this process and its threads.
    port, log_path = free_port(), folder / "ray.log"
    command = (
        "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1",
        "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={TEMPORARY}",
    )  # fmt: skip
    with log_path.open("a") as log, program(command, {"PYTHONPATH": str(REPOSITORY)}, log) as node:
        await _started(node, log_path)
        ray.init(f"127.0.0.1:{port}", log_to_driver=False, logging_level=logging.WARNING)
        try:
            yield ray
        finally:
            ray.shutdown()


async def _started(node: subprocess.Popen[Any], log_path: Path) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        while STARTED not in log_path.read_text():
            if node.poll() is not None:
                raise RuntimeError(f"`ray start` ended with code {node.returncode}: {log_path.read_text()[-500:]}")
            await asyncio.sleep(0.1)


@asynccontextmanager
async def ray_actors(folder: Path) -> AsyncIterator[Peer]:
    """Two actors."""
    async with _ray(folder) as ray:

        class Worker:
            def run(self, metadata: dict[str, Any]) -> dict[str, Any]:
                return work.answer(metadata)

        remote = ray.remote(num_cpus=1)(Worker)
        actors = [remote.remote() for _ in range(2)]
        yield RayPeer(ray, [actor.run for actor in actors])


@asynccontextmanager
async def ray_tasks(folder: Path) -> AsyncIterator[Peer]:
    """Tasks."""
    async with _ray(folder) as ray:
        yield RayPeer(ray, [ray.remote(num_cpus=1)(work.answer)])
