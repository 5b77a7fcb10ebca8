"""A Ray cluster of 1, 2 and 4 nodes with a worker each: how much of a node more arrives.

All nodes are processes of this machine, beside the server, the database and the object store. An operation that waits
can show what the cluster costs on few cores; `describe` only as far as there are cores.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

from tests.object_servers import SeaweedServer
from tests.ray_cluster import RayCluster
from tests.server import REPOSITORY, plugin

from benchmarks import operations, work
from benchmarks.measure import Line, Mark, Report, Scale, Series, Skipped
from benchmarks.ours import Ours, answers_of, serving
from benchmarks.rows.describe import photographs
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch_client import BatchImageInput

ROW = "ray"
COUNTS = (1, 2, 4)
OF_LINEAR = Mark(at_least=0.8)
START_S = 180.0


async def measure(scale: Scale, report: Report) -> None:
    if find_spec("ray") is None:
        report.add(Skipped(ROW, "a Ray cluster", "ray is not installed here"))
        return
    load = os.getloadavg()[0]  # before the cluster starts, which is work itself
    with data_folder() as folder:
        bucket = SeaweedServer(_made(folder / "bucket"))
        bucket.start()
        own = folder / "ray"
        paths = (str(plugin(_made(own) / "operations", operations.REFERENCES)), str(REPOSITORY))
        cluster = RayCluster(own, {**bucket.environment, "PYTHONPATH": os.pathsep.join(paths)})
        cluster.add()
        before = dict(os.environ)
        os.environ.update(bucket.environment | cluster.secrets)
        try:
            await asyncio.to_thread(cluster.start)
            settings = {"object_store_url": bucket.url("images"), "ray_address": cluster.address}
            async with serving(folder, warm="waiting,describe", settings=settings) as ours:
                await _measure(ours, cluster, load, scale, report)
        finally:
            os.environ.clear()
            os.environ.update(before)
            cluster.close()
            bucket.kill()


async def _measure(ours: Ours, cluster: RayCluster, load: float, scale: Scale, report: Report) -> None:
    keys = [(await ours.client.upload_image(data)).object_key for data in photographs()]
    found: dict[str, dict[int, Series]] = {"waiting": {}, "describe": {}}
    cores = os.cpu_count() or 1
    if load > cores:
        report.add(Skipped(ROW, "describe", f"others had the processors: the load was {load:.0f}, on {cores} of them"))
        del found["describe"]
    for count in COUNTS:
        while len(cluster.nodes) < count:
            cluster.add()
        await asyncio.to_thread(cluster.start)
        await _workers(ours, count)
        for name, rates in found.items():
            await _rate(ours, name, keys, 4 * count)  # every worker has loaded it
            items = scale.pictures // 8 * count
            rates[count] = Series([await _rate(ours, name, keys, items) for _ in range(scale.long_rounds)])
    for name, rates in found.items():
        what = "an operation that waits 200 ms" if name == "waiting" else name
        report.add(Line(ROW, f"{what} on 1 node with a worker", "items/s", rates[1]))
        for count in COUNTS[1:]:
            has_cores = cores >= count or name == "waiting"
            lacking = "" if has_cores else f" (of processors that are {cores})"
            linear = Series([count * rate for rate in rates[1].values])
            label = f"{what} on {count} nodes with a worker each{lacking}"
            mark = OF_LINEAR if has_cores else None
            report.add(Line(ROW, label, "items/s", rates[count], f"{count} times one node", linear, mark))


async def _workers(ours: Ours, count: int) -> None:
    """Wait until so many take items."""
    async with asyncio.timeout(START_S):
        alive = 0
        while alive != count:
            await asyncio.sleep(0.05)
            alive = (await ours.stub.GetServerInfo(pb.GetServerInfoRequest())).workers.alive


async def _rate(ours: Ours, operation: str, keys: Sequence[str], items: int) -> float:
    """Run a batch; answers items a second."""
    inputs = [
        BatchImageInput(object_key=key, metadata=work.metadata_of(index) if operation == "waiting" else None)
        for index, key in enumerate(islice(cycle(keys), items))
    ]
    began_at = time.perf_counter()
    batch = await ours.client.submit(operation, inputs)
    if operation == "waiting":
        answers = [answer async for message in ours.watch_messages(batch.batch_id) for answer in answers_of(message)]
        work.check(answers, items)
    else:
        results = [result async for result in ours.client.watch(batch.batch_id)]
        if len({result.item_index for result in results if result.description}) != items:
            raise work.WrongResults(f"{operation} did not answer each of {items} items")
    return items / (time.perf_counter() - began_at)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
