"""The page in a real Chromium, as somebody uses it: signing in, submitting, watching, retrying."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from tests.integration.http.conftest import Site, secret
from tests.integration.page.conftest import Opened, batch_url, card, progress, written
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item

from imagebatch.v1 import image_service_pb2
from imagebatch.v1.batch_service_pb2 import DeleteBatchRequest
from imagebatch_client import BatchClient

pytestmark = pytest.mark.chromium

SIGNED = re.compile(rb"\?expires=\d+&key=[^&]+&signature=[\w-]+")
PHONE = {"width": 390, "height": 844}


def test_a_stranger_is_asked_for_a_token_once_a_tab(guarded: Site, opened: Opened) -> None:
    page = opened(guarded.url)
    page.get_by_label("Token").fill("imagebatch_wrong")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("token")
    page.get_by_label("Token").fill(secret("writer"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No batches yet")).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="No batches yet")).to_be_visible()
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length") == 0
    beside = page.context.new_page()
    beside.goto(guarded.url)
    expect(beside.get_by_label("Token")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_where_no_token_is_needed_none_is_asked_for(site: Site, opened: Opened) -> None:
    page = opened(site.url)
    expect(page.get_by_role("heading", name="Batches", exact=True)).to_be_visible()
    expect(page.get_by_label("Token")).to_have_count(0)


def test_files_are_submitted_and_what_became_of_each_is_seen(
    guarded: Site, opened: Opened, tmp_path: Path, hostile: str
) -> None:
    page = opened(f"{guarded.url}/#/new")
    page.get_by_label("Token").fill(secret("writer"))
    page.keyboard.press("Enter")
    good = written(tmp_path, hostile, pictures.drawn(1))
    bad = written(tmp_path, "list.jpg", b"milk, eggs, bread")
    page.locator("input[type=file]").set_input_files([good, bad])
    page.get_by_role("radio", name=re.compile("thumbnail")).check()
    page.get_by_text("Parameters").click()
    page.get_by_role("spinbutton", name=re.compile("^width")).fill("32")
    page.get_by_text("Priority and labels").click()
    page.get_by_label("Labels").fill("run=<b>7</b>")
    page.get_by_role("button", name="Submit 2 images").click()

    expect(progress(page)).to_contain_text("2 of 2 items done")
    expect(page.get_by_text("run: <b>7</b>")).to_be_visible()
    expect(card(page, "list.jpg")).to_contain_text("Not an image")
    expect(card(page, hostile)).to_contain_text("32 \N{MULTIPLICATION SIGN} 24")
    assert page.locator("main img").evaluate_all("all => all.map(one => one.naturalWidth)") == [64]
    card(page, hostile).get_by_role("link").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_contain_text(hostile)
    expect(dialog.get_by_text("Succeeded")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).to_contain_text("list.jpg")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    page.keyboard.press("/")
    page.keyboard.type("looks like text")
    expect(card(page, hostile)).to_have_count(0)
    expect(card(page, "list.jpg")).to_be_visible()

    page.get_by_role("link", name="Batches", exact=True).first.click()
    expect(page.get_by_role("link", name=re.compile("thumbnail"))).to_contain_text("1 failed")


def test_a_running_batch_is_watched_paused_resumed_and_cancelled(
    site: Site, raw: Raw, opened: Opened, picture: str, tmp_path: Path
) -> None:
    def waiting(name: str) -> dict[str, str]:
        return {"do": "wait", "until": str(tmp_path / name), "file_name": name}

    names = ("first", "second", "third")
    items = [item(object_key=picture, metadata=waiting(name)) for name in names]
    batch_id = raw.submit(items).batch_id
    page = opened(batch_url(site, batch_id))
    expect(progress(page)).to_contain_text("0 of 3 items done")
    page.evaluate("window.stays = true")

    (tmp_path / "first").touch()
    expect(progress(page)).to_contain_text("1 of 3 items done")
    expect(card(page, "first").locator("a")).to_have_class(re.compile("success"))
    expect(card(page, "third").locator("a")).to_have_class(re.compile("waiting"))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".pill")).to_contain_text("Paused")
    expect(page.get_by_text("nothing more is begun until it is resumed")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Processing")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the batch").click()
    expect(page.get_by_text("Cancelling")).to_be_visible()
    (tmp_path / "second").touch()
    expect(page.locator("main .title")).to_contain_text("Cancelled")
    expect(card(page, "third")).to_contain_text("Cancelled")
    assert page.evaluate("window.stays")

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 3 items").click()
    expect(page).to_have_url(re.compile("#/batches$"))


def test_what_failed_is_retried_and_seen_to_succeed(
    site: Site, raw: Raw, opened: Opened, http: httpx.Client, picture: str
) -> None:
    data = pictures.drawn(3)
    place = raw.images.CreateUploadUrl(
        image_service_pb2.CreateUploadUrlRequest(content_type="image/png", size_bytes=len(data))
    )
    items = [item(object_key=picture), item(object_key=place.object_key, item_id="late")]
    batch_id = raw.submit(items, "noop").batch_id
    page = opened(batch_url(site, batch_id, "?view=failures"))
    expect(page.get_by_text("Image is not there")).to_be_visible()
    http.put(place.url, content=data, headers=dict(place.headers)).raise_for_status()
    page.get_by_role("button", name="Retry 1", exact=True).click()
    expect(page.get_by_text("Nothing has failed")).to_be_visible()
    page.get_by_role("button", name="Gallery").click()
    expect(card(page, "late").locator("a")).to_have_class(re.compile("success"))


def test_results_are_taken_away(site: Site, raw: Raw, opened: Opened, picture: str, tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://evil.example")'
    items = [
        item(object_key=picture, metadata={"file_name": evil, "note": "; =1+1"}, item_id=f"-{at}") for at in range(1, 4)
    ]
    batch_id = raw.submit(items, "noop").batch_id
    page = opened(batch_url(site, batch_id))
    expect(progress(page)).to_contain_text("3 of 3 items done")
    for form, suffix in (("JSON Lines", "jsonl"), ("CSV", "csv")):
        page.locator("summary", has_text="Export").click()
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(form)).click()
        download.value.save_as(tmp_path / f"page.{suffix}")
        with BatchClient(site.server.address) as client:
            client.export(batch_id, tmp_path / f"library.{suffix}")
        # Signed URLs are the same for minutes, and a test may come across their change.
        ours, theirs = ((tmp_path / f"{of}.{suffix}").read_bytes() for of in ("page", "library"))
        assert SIGNED.sub(b"", ours) == SIGNED.sub(b"", theirs)
        assert download.value.suggested_filename == f"batch-{batch_id}.{suffix}"
    rows = (tmp_path / "page.csv").read_text("utf-8-sig").splitlines()
    assert len(rows) == 4
    assert all(row.startswith("\"'-") for row in rows[1:])
    assert "; =" not in "".join(rows)


def test_an_export_that_is_refused_says_why(site: Site, raw: Raw, opened: Opened, picture: str) -> None:
    batch_id = raw.submit([item(object_key=picture)], "noop").batch_id
    page = opened(batch_url(site, batch_id))
    expect(progress(page)).to_contain_text("1 of 1 item done")
    raw.batches.DeleteBatch(DeleteBatchRequest(batch_id=batch_id))
    page.locator("summary", has_text="Export").click()
    page.get_by_role("button", name=re.compile("CSV")).click()
    expect(page.get_by_role("alert")).to_contain_text(batch_id)


def test_it_is_used_by_keys_alone(site: Site, raw: Raw, opened: Opened, picture: str) -> None:
    items = [item(object_key=picture, item_id=f"item-{at}") for at in range(250)]
    batch_id = raw.submit(items, "noop").batch_id
    raw.watch_to_end(batch_id)
    page = opened(batch_url(site, batch_id))
    card(page, "item-0").get_by_role("link").focus()
    for key, name in (("ArrowRight", "item-1"), ("End", "item-249"), ("ArrowLeft", "item-248"), ("Home", "item-0")):
        page.keyboard.press(key)
        expect(page.locator(":focus")).to_contain_text(name)
    assert page.locator(".card").count() < 100, "more than what is seen is drawn"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("item-0")
    page.keyboard.press("Escape")
    expect(page.locator(":focus")).to_contain_text("item-0")
    page.get_by_role("link", name="Imagebatch, all batches").click()
    expect(page.get_by_role("heading", name="Batches", exact=True)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Label, as name=value")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(site: Site, raw: Raw, opened: Opened, axe: str, picture: str, scheme: str) -> None:
    items = [item(object_key=picture), item(object_key="nowhere", metadata={"file_name": "a" * 300})]
    batch_id = raw.submit(items, "noop", labels={"team": "vision"}).batch_id
    raw.watch_to_end(batch_id)
    page = opened(site.url, color_scheme=scheme, viewport=PHONE)
    page.evaluate(axe)
    for view, shows in {
        "": "1 failed",
        f"{batch_id}": "2 of 2",
        f"{batch_id}?view=table": "Image is not there",
        f"{batch_id}?view=failures": "Image is not there",
        f"{batch_id}/1": "Image is not there",
    }.items():
        page.evaluate(f"location.hash = '/batches/{view}'")
        expect(page.get_by_text(shows).locator("visible=true").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], view
        violations = page.evaluate("axe.run().then(found => found.violations.map(one => [one.id, one.nodes[0].html]))")
        assert violations == [], view
    page.evaluate("location.hash = '/new'")
    expect(page.get_by_role("heading", name="New batch")).to_be_visible()
    assert page.evaluate("axe.run().then(found => found.violations.map(one => [one.id, one.nodes[0].html]))") == []
