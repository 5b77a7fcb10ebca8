"""What the page tells of a batch besides its items: how long it may take, its cost, who was told, what was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.integration.http.conftest import Site
from tests.integration.page.conftest import Opened, batch_url, progress
from tests.integration.server.calls import Raw, item
from tests.integration.server.receiver import Receiver
from typer.testing import CliRunner

from imagebatch.v1.batch_service_pb2 import CancelBatchRequest
from imagebatch_server.app.webhooks import webhook

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    secrets = str(tmp_path_factory.mktemp("secrets") / "webhooks.json")
    made = CliRunner().invoke(webhook, ["create", "default", "--webhook-secrets-file", secrets])
    assert made.exit_code == 0, made.output
    return {
        "webhook_secrets_file": secrets,
        "notify_allowed_networks": "127.0.0.0/8",
        "token_prices": "metered=1000/2000",
        "token_currency": "EUR",
    }


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiving = Receiver()
    yield receiving
    receiving.close()


def test_how_long_it_may_take_is_told_with_its_range(
    site: Site, raw: Raw, opened: Opened, picture: str, tmp_path: Path
) -> None:
    held = {"do": "wait", "until": str(tmp_path / "go")}
    items = [item(object_key=picture, metadata={} if at < 30 else held) for at in range(600)]
    batch_id = raw.submit(items).batch_id
    page = opened(batch_url(site, batch_id))
    expect(progress(page)).to_contain_text(re.compile(r"about .+ left \(.+ to .+\)"))
    raw.batches.CancelBatch(CancelBatchRequest(batch_id=batch_id))
    (tmp_path / "go").touch()
    expect(page.locator("main .title")).to_contain_text("Cancelled")


def test_what_was_asked_what_it_cost_and_who_was_told_are_told(
    site: Site, raw: Raw, opened: Opened, picture: str, receiver: Receiver
) -> None:
    batch_id = raw.submit(
        [item(object_key=picture)],
        "metered",
        notify_url=f"{receiver.url}/200/seen",
        priority=7,
        canary=1,
        failure_limit=0.25,
        request_id="nightly-7",
    ).batch_id
    page = opened(batch_url(site, batch_id))
    expect(page.locator(".figure", has_text="Cost")).to_contain_text("0.0380 EUR")
    expect(page.locator(".notified")).to_contain_text("The receiver was told of the end · 1 attempt, answered 200")
    page.get_by_text("What was asked").click()
    asked = page.locator(".asked")
    for said in (batch_id, "7 of 10", "1 item first", "25 %", "at most 3 an item", "1 min an attempt", "nightly-7"):
        expect(asked).to_contain_text(said)


def test_a_receiver_that_does_not_take_it_is_told_of(
    site: Site, raw: Raw, opened: Opened, picture: str, receiver: Receiver
) -> None:
    batch_id = raw.submit([item(object_key=picture)], "noop", notify_url=f"{receiver.url}/503/refused").batch_id
    page = opened(batch_url(site, batch_id))
    told = page.locator(".notified")
    expect(told).to_contain_text("has not taken the news")
    expect(told).to_contain_text(re.compile(r"answered 503, the next one (in|is due)"))
