"""Ray on this machine, which keeps nothing on disk: two actors called directly, or one task an item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.server import REPOSITORY

from benchmarks import work
from benchmarks.peers import Answers, Missing, Peer

TEMPORARY = "/tmp/ray-benchmark"  # noqa: S108  # a socket's path must be short


class RayPeer:
    """Ray's driver; `calls` are what takes an item, in turn."""

    def __init__(self, ray: Any, calls: list[Any]) -> None:
        self._ray = ray
        self._calls = calls

    async def batch(self, items: int) -> Answers:
        calls = self._calls
        waiting = [calls[index % len(calls)].remote(work.metadata_of(index)) for index in range(items)]
        answers: Answers = self._ray.get(waiting)
        return answers

    async def one(self, index: int) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._ray.get(self._calls[0].remote(work.metadata_of(index)))
        return answer


@asynccontextmanager
async def _ray() -> AsyncIterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise Missing(f"ray is not installed here: {error}") from error
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=TEMPORARY,
        runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY)}},
    )
    try:
        yield ray
    finally:
        ray.shutdown()


@asynccontextmanager
async def ray_actors(folder: Path) -> AsyncIterator[Peer]:
    """Two actors."""
    async with _ray() as ray:

        class Worker:
            def run(self, metadata: dict[str, Any]) -> dict[str, Any]:
                return work.answer(metadata)

        remote = ray.remote(num_cpus=1)(Worker)
        actors = [remote.remote() for _ in range(2)]
        yield RayPeer(ray, [actor.run for actor in actors])


@asynccontextmanager
async def ray_tasks(folder: Path) -> AsyncIterator[Peer]:
    """Tasks."""
    async with _ray() as ray:
        yield RayPeer(ray, [ray.remote(num_cpus=1)(work.answer)])
