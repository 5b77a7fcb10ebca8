"""Both clients and the command line against a real server, which is killed while a watch goes on."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server
from typer.testing import CliRunner

from imagebatch_client import (
    AsyncBatchClient,
    BatchClient,
    BatchFailedError,
    BatchImageInput,
    BatchNotFoundError,
    BatchStatus,
    InvalidRequestError,
    ItemErrorCode,
    RequestIdReusedError,
    UnknownOperationError,
)
from imagebatch_client.cli.app import app


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[BatchClient]:
    with BatchClient(server.address) as connected:
        yield connected


def picture(number: int = 0) -> bytes:
    image = Image.new("RGB", (120, 90), (number * 37 % 256, number * 91 % 256, 90))
    ImageDraw.Draw(image).ellipse((10, 10, 30 + number % 60, 80), fill=(240, number * 13 % 256, 20))
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()


def uploaded(client: BatchClient, count: int) -> list[BatchImageInput]:
    return [
        BatchImageInput(object_key=client.upload_image(picture(number)).object_key, metadata={"number": number})
        for number in range(count)
    ]


def run(server: ServerProcess, *arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments), "--address", server.address])


def test_an_upload_comes_back(client: BatchClient) -> None:
    image = client.upload_image(picture(), file_name="räksmörgås.png")
    assert (image.width, image.height, image.format) == (120, 90, "png")
    back = client.download_image(image.object_key)
    assert (back.content, back.file_name, back.content_type) == (picture(), "räksmörgås.png", "image/png")


def test_a_batch_from_submit_to_pages(client: BatchClient) -> None:
    items = [*uploaded(client, 5), BatchImageInput(object_key="default.nothing", item_id="missing")]
    batch = client.submit("describe", items, labels={"test": "pages"}, request_id="pages-1")
    assert client.submit("describe", items, labels={"test": "pages"}, request_id="pages-1").batch_id == batch.batch_id
    with pytest.raises(RequestIdReusedError) as reused:
        client.submit("describe", items[:1], request_id="pages-1")
    assert reused.value.metadata["batch_id"] == batch.batch_id

    seen = {result.item_index: result for result in client.watch(batch.batch_id)}
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]
    assert seen[3].input_data is not None
    assert seen[3].input_data["metadata"] == {"number": 3}
    assert seen[0].description
    assert seen[5].error_code is ItemErrorCode.OBJECT_NOT_FOUND

    status = client.wait_for_completion(batch.batch_id, timeout=30)
    assert status.status is BatchStatus.PARTIALLY_COMPLETED
    assert (status.successful_items, status.failed_items, status.failure_counts) == (5, 1, {"object_not_found": 1})
    pages = list(client.get_all_results(batch.batch_id, page_size=4))
    assert pages == [seen[index] for index in range(6)]
    assert [result.item_id for result in client.get_results(batch.batch_id, item_ids=["missing"]).results] == [
        "missing"
    ]
    without = client.get_all_results(batch.batch_id, include_failed=False)
    assert [result.item_index for result in without] == [0, 1, 2, 3, 4]
    assert [each.batch_id for each in client.list_batches(labels={"test": "pages"})] == [batch.batch_id]


def test_the_asynchronous_client_sees_the_same(server: ServerProcess, client: BatchClient) -> None:
    items = uploaded(client, 3)

    async def all_of_it() -> None:
        async with AsyncBatchClient(server.address) as aio:
            image = await aio.upload_image(picture(7))
            assert (await aio.download_image(image.object_key)).content == picture(7)
            batch = await aio.submit("describe", [*items, BatchImageInput(object_key=image.object_key)])
            watched = [result async for result in aio.watch(batch.batch_id)]
            assert sorted(result.item_index for result in watched) == [0, 1, 2, 3]
            assert (await aio.wait_for_completion(batch.batch_id)).status is BatchStatus.COMPLETED
            pages = [result async for result in aio.get_all_results(batch.batch_id, page_size=3)]
            assert sorted(watched, key=lambda result: result.item_index) == pages
            assert (await aio.list_operations()) == client.list_operations()

    asyncio.run(all_of_it())


def test_a_batch_that_fails_raises_when_waited_for(client: BatchClient) -> None:
    batch = client.submit("describe", [BatchImageInput(object_key="default.nothing")])
    with pytest.raises(BatchFailedError) as failed:
        client.wait_for_completion(batch.batch_id, timeout=30)
    assert failed.value.status.failed_items == 1


def test_a_retry_is_safe_to_repeat_and_chooses_items(client: BatchClient, server: ServerProcess) -> None:
    items = [BatchImageInput(object_key="gone", item_id=name) for name in ("cat", "dog")]
    batch_id = client.submit("thumbnail", items, request_id="to be retried", canary=1, max_attempts=2).batch_id
    list(client.watch(batch_id))
    client.retry(batch_id, item_ids=["dog"], request_id="mine")
    (again,) = client.watch(batch_id, 2)
    assert again.item_id == "dog"
    assert client.retry(batch_id, item_ids=["dog"], request_id="mine").status is BatchStatus.FAILED
    with pytest.raises(RequestIdReusedError):
        client.retry(batch_id, request_id="mine")
    ran = CliRunner().invoke(app, ["retry", batch_id, "--item-id", "cat", "--address", server.address])
    assert ran.exit_code == 0, ran.output
    assert [result.item_id for result in client.watch(batch_id, 3)] == ["cat"]

    status = client.get_status(batch_id)
    assert (status.canary, status.failure_limit, status.item_timeout) == (1, None, 60.0)
    assert (status.max_attempts, status.request_id) == (2, "to be retried")
    shown = CliRunner().invoke(app, ["status", batch_id, "--address", server.address]).output
    assert "canary        1 items first" in shown
    assert "item timeout  60 s an attempt" in shown
    assert "attempts      at most 2 an item" in shown
    assert "request id    to be retried" in shown
    assert "failure limit" not in shown


def test_refusals_name_what_is_wrong(client: BatchClient) -> None:
    two = BatchImageInput(image_url="https://example.com/a.jpg", object_key="k")
    with pytest.raises(InvalidRequestError) as refused:
        client.submit("describe", [two, BatchImageInput()], priority=11)
    fields = {violation.field for violation in refused.value.violations}
    assert {"items[0]", "items[1]", "options.priority"} <= fields
    with pytest.raises(UnknownOperationError):
        client.submit("dream", [BatchImageInput(object_key="k")])
    with pytest.raises(BatchNotFoundError):
        client.get_status("01931c0e-7d2a-7cc3-98c4-dc0c0c07398f")
    with pytest.raises(InvalidRequestError, match="limit: 5000 is above 1000"):
        client.get_results("01931c0e-7d2a-7cc3-98c4-dc0c0c07398f", limit=5000)


def test_a_folder_by_the_command_line(server: ServerProcess, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"picture {number}.png").write_bytes(picture(number))
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "cut.png").write_bytes(picture()[:40])
    (tmp_path / "empty.png").write_bytes(b"")
    submitted = run(server, "submit", tmp_path, "--operation", "describe", "--label", "test=folder", "--watch")
    assert submitted.exit_code == 1
    outcomes = Counter(line.split()[0] for line in submitted.stdout.splitlines())
    assert outcomes == {"success": 4, "failed": 3}
    for name in ("picture 3.png", "text.jpg", "cut.png", "empty.png"):
        assert submitted.stdout.count(f"  {name}  ") == 1

    (listed,) = run(server, "list", "--label", "test=folder", "--json").stdout.splitlines()
    batch = json.loads(listed)
    lines = run(server, "results", batch["batch_id"], "--format", "jsonl").stdout.splitlines()
    results = [json.loads(line) for line in lines]
    assert [result["item_id"] for result in results] == [
        *("cut.png", "empty.png", "picture_0.png", "picture_1.png", "picture_2.png", "picture_3.png", "text.jpg")
    ]
    assert Counter(result["status"] for result in results) == outcomes
    assert (batch["successful_items"], batch["failed_items"]) == (4, 3)
    replayed = run(server, "watch", batch["batch_id"], "--after-sequence", "5")
    assert len(replayed.stdout.splitlines()) == 2


def test_a_watch_survives_the_server_being_killed(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", operations=OPERATIONS) as server, BatchClient(server.address) as client:
        image = client.upload_image(picture()).object_key
        slow = BatchImageInput(object_key=image, metadata={"do": "sleep", "seconds": 0.1})
        batch = client.submit("scripted", [slow] * 60)
        sequences = []
        with ThreadPoolExecutor(1) as meanwhile:
            for result in client.watch(batch.batch_id):
                sequences.append(result.sequence)
                if result.sequence in {10, 30}:
                    server.kill()
                    meanwhile.submit(server.start)  # and the watch tries to come back before that is done
        assert sequences == list(range(1, 61))
        assert client.wait_for_completion(batch.batch_id).successful_items == 60
