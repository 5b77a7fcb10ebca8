"""A whole server with an endpoint: what its callers see of waits, tokens and refusals, and what nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.executors.harness import png
from tests.integration.openai.harness import KEY
from tests.integration.openai.proxy import Proxy, refusal
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch_client import BatchClient, BatchImageInput, BatchStatus, InvalidRequestError

if TYPE_CHECKING:
    from llmock.pytest_plugin import LLMock

pytestmark = pytest.mark.openai


@pytest.fixture
def server(tmp_path: Path, proxy: Proxy) -> Iterator[ServerProcess]:
    settings = {
        "openai_base_url": f"{proxy.url}/v1",
        "openai_api_key": KEY,
        "openai_model": "gpt-4o-mini",
        "openai_concurrency": "4",
    }
    with running_server(tmp_path / "data", settings, OPERATIONS) as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[BatchClient]:
    with BatchClient(server.address) as made:
        yield made


def pictures(client: BatchClient, count: int) -> list[BatchImageInput]:
    """So many items, each another picture."""
    keys = [client.upload_image(png(20 + number, 20)).object_key for number in range(count)]
    return [BatchImageInput(object_key=key) for key in keys]


def test_a_batch_survives_what_endpoints_do_and_its_tokens_add_up(
    server: ServerProcess, client: BatchClient, proxy: Proxy, llmock: LLMock
) -> None:
    llmock.rate_limit(times=2, retry_after=1.0)
    llmock.fail(503, times=1)
    items = pictures(client, 12)
    batch = client.submit("describe", items, parameters={"backend": "openai", "prompt": "Say what you see."})
    status = client.wait_for_completion(batch.batch_id, timeout=60)
    assert (status.status, status.successful_items) == (BatchStatus.COMPLETED, 12)
    outputs = [result.output_data or {} for result in client.get_all_results(batch.batch_id)]
    assert status.input_tokens == sum(output["input_tokens"] for output in outputs) > 0
    assert status.output_tokens == sum(output["output_tokens"] for output in outputs) > 0
    assert len(proxy.seen) == 12 + 3
    assert proxy.most_in_flight <= 4
    llmock.assert_resilient()  # its judgement of us: Retry-After was waited for, nothing was retried in vain

    server.stop()
    told = KEY.encode()
    assert told not in server.log_path.read_bytes()
    assert not [path for path in server.data_dir.rglob("*") if path.is_file() and told in path.read_bytes()]


def test_an_endpoint_that_says_nothing_holds_up_no_worker(client: BatchClient, proxy: Proxy) -> None:
    proxy.delay_s = 3_600.0
    slow = client.submit("describe", pictures(client, 40), parameters={"backend": "openai"}, priority=10)
    quick = client.submit("scripted", pictures(client, 40), priority=1)
    assert client.wait_for_completion(quick.batch_id, timeout=30).successful_items == 40
    assert client.get_status(slow.batch_id).processed_items == 0
    client.cancel(slow.batch_id)


def test_a_key_that_is_refused_is_named_by_its_setting(client: BatchClient, proxy: Proxy) -> None:
    proxy.breaks(*[refusal(401, f"Incorrect API key provided: {KEY}")] * 2)
    batch = client.submit("describe", pictures(client, 2), parameters={"backend": "openai"})
    for result in client.watch(batch.batch_id):
        assert "IMAGEBATCH_OPENAI_API_KEY" in (result.error_message or "")
        assert KEY not in (result.error_message or "")
    assert len(proxy.seen) == 2, "a refused key is not tried again"


def test_a_server_without_an_endpoint_refuses_the_backend(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as running, BatchClient(running.address) as client:
        items = pictures(client, 1)
        for operation in ("describe", "verify"):
            with pytest.raises(InvalidRequestError) as caught:
                client.submit(operation, items, parameters={"backend": "openai"})
            (violation,) = caught.value.violations
            assert violation.field == "options.parameters.backend"
            assert "IMAGEBATCH_OPENAI_BASE_URL" in violation.description
