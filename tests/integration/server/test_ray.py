"""A server whose operations run on a node of a real Ray cluster, with its images in a folder."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, plain
from tests.integration.server.web import Web
from tests.operations_for_tests import OPERATIONS, Noop
from tests.ray_cluster import RayCluster
from tests.server import REPOSITORY, ServerProcess, free_port, plugin, running_server

from imagebatch.v1 import batch_service_pb2, types_pb2

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


METRICS = f"127.0.0.1:{free_port()}"


class Sparking(Noop):
    """Take half of a spark."""

    name: ClassVar[str] = "sparking"
    resources: ClassVar[dict[str, float]] = {"spark": 0.5}


class Gilding(Noop):
    """Take what no node has."""

    name: ClassVar[str] = "gilding"
    resources: ClassVar[dict[str, float]] = {"gold": 1}


class NewerNoop(Noop):
    """Be of another version than at the node."""

    version: ClassVar[str] = "2"


ON_CLUSTER = OPERATIONS | {one.name: f"{__name__}:{one.__name__}" for one in (Sparking, Gilding)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    folder = tmp_path_factory.mktemp("ray")
    paths = (str(plugin(folder / "operations", ON_CLUSTER)), str(REPOSITORY))
    made = RayCluster(folder, {"PYTHONPATH": os.pathsep.join(paths)})
    made.add(f"--resources={json.dumps({'spark': 1})}")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def server(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = _settings(cluster) | {"metrics_address": METRICS}
    with running_server(tmp_path_factory.mktemp("server") / "data", settings, ON_CLUSTER) as running:
        yield running


def _settings(cluster: RayCluster) -> dict[str, str]:
    os.environ.update(cluster.secrets)
    return {"ray_address": cluster.address, "http_address": f"127.0.0.1:{free_port()}"}


def test_images_of_every_origin_are_run_on_the_node(raw: Raw, host: Web) -> None:
    uploaded = raw.upload(pictures.drawn(1)).object_key
    items = [
        item(object_key=uploaded, item_id="uploaded"),
        item(image_base64=pictures.data_url(pictures.drawn(2)), item_id="base64"),
        item(image_url=f"{host.url}/picture?1", item_id="url"),
        item(image_url=f"{host.url}/status/404", item_id="404"),
        item(image_url="http://169.254.169.254/latest", item_id="metadata-service"),
        item(object_key=uploaded, metadata={"do": "kill"}, item_id="kill"),
    ]
    results = _ended(raw, raw.submit(items, max_attempts=2).batch_id)
    success, name = types_pb2.BATCH_ITEM_STATUS_SUCCESS, types_pb2.ItemErrorCode.Name
    assert {one.item_id for one in results.values() if one.status == success} == {"uploaded", "base64", "url"}
    codes = {one.item_id: name(one.error_code) for one in results.values() if one.status != success}
    assert codes == {
        "404": "ITEM_ERROR_CODE_FETCH_FAILED",
        "metadata-service": "ITEM_ERROR_CODE_FETCH_FORBIDDEN",
        "kill": "ITEM_ERROR_CODE_WORKER_CRASHED",
    }
    assert {one.item_id: one.attempts for one in results.values()} | {"kill": 2} == {
        one.item_id: 2 if one.item_id == "kill" else 1 for one in results.values()
    }
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        told = answer.read().decode().splitlines()
    for outcome in ("success", "fetch_failed", "fetch_forbidden"):
        assert f'imagebatch_fetches_total{{outcome="{outcome}"}} 1.0' in told


def test_an_operation_runs_there_and_its_image_can_be_read_here(
    raw: Raw, cluster: RayCluster, server: ServerProcess
) -> None:
    pids = {process.pid for node in cluster.nodes for process in node.processes()}
    results = _ended(raw, raw.submit([item(image_base64=pictures.data_url(pictures.drawn(3)))]).batch_id)
    assert plain(results[0].output_data)["pid"] in pids
    batch_id = raw.submit([item(image_base64=pictures.data_url(pictures.drawn(4)))], operation="storing").batch_id
    stored = _ended(raw, batch_id)[0]
    assert raw.download(stored.stored_object_key)[1] == pictures.drawn(4)


def test_resources_place_an_operation_or_let_it_wait(raw: Raw) -> None:
    one = [item(image_base64=pictures.data_url(pictures.drawn(5)))]
    waiting = raw.submit(one, operation="gilding").batch_id
    _ended(raw, raw.submit(one, operation="sparking").batch_id)
    _ended(raw, raw.submit(one, operation="awaiting").batch_id)
    assert raw.status(waiting).processed_items == 0
    raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=waiting))
    assert set(_ended(raw, waiting)) == {0}


def test_a_node_of_another_version_is_refused_and_items_wait(cluster: RayCluster, tmp_path: Path) -> None:
    settings = _settings(cluster)
    newer = OPERATIONS | {"noop": f"{__name__}:NewerNoop"}
    with running_server(tmp_path / "data", settings, newer) as server:
        raw = Raw(server.address)
        batch_id = raw.submit([item(image_base64=pictures.data_url(pictures.drawn(6)))]).batch_id
        why = "the operation noop is 1 on this node and 2 at the server"
        eventually(lambda: why in server.log)
        with urllib.request.urlopen(f"http://{settings['http_address']}/readyz", timeout=10) as ready:
            assert "no node of the Ray cluster takes items" in ready.read().decode()
        info = raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest())
        assert info.workers.alive == 0
        assert raw.status(batch_id).processed_items == 0
        raw.close()


def test_several_nodes_and_images_in_a_folder_are_refused_at_the_start(cluster: RayCluster, tmp_path: Path) -> None:
    """Last, for the second node stays."""
    cluster.add()
    cluster.start()
    server = ServerProcess(tmp_path / "data", _settings(cluster), ON_CLUSTER)
    process = server.spawn()
    assert process.wait(60) == 1
    assert "several nodes" in server.log
    assert "--object-store-url" in server.log


def _ended(raw: Raw, batch_id: str) -> dict[int, types_pb2.BatchItemResult]:
    return {one.item_index: one for one in raw.watch_to_end(batch_id).results}
