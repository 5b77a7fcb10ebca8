"""Exports over HTTP: the bytes that the client writes, to whoever may read the batch."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from tests.integration.http.conftest import PAGE, Site, secret
from tests.integration.server.calls import Raw, item

from imagebatch_client import BatchClient, BatchImageInput, ConnectionSettings

EVIL = '=HYPERLINK("http://evil.example")'
SIGNED = re.compile(rb"\?expires=\d+&key=[^&]+&signature=[\w-]+")
"""What tells a signed URL from one that was made a moment later."""


@pytest.fixture(scope="module")
def many(site: Site, picture: str) -> str:
    """Run a batch of more than one page, some of which fail, with texts that are no friends of spreadsheets."""
    raw = Raw(site.server.address)
    items = [
        item(object_key=picture if at % 7 else "nowhere", metadata={"file_name": EVIL, "note": "; =1+1", "at": at})
        for at in range(1, 1_205)
    ]
    batch_id = raw.submit(items, "noop").batch_id
    raw.watch_to_end(batch_id)
    raw.close()
    return batch_id


def masked(data: bytes) -> bytes:
    return SIGNED.sub(b"", data)


@pytest.mark.parametrize(("suffix", "media_type"), [("csv", "text/csv"), ("jsonl", "application/x-ndjson")])
def test_a_download_is_the_file_that_the_client_writes(
    site: Site, http: httpx.Client, many: str, tmp_path: Path, suffix: str, media_type: str
) -> None:
    path = tmp_path / f"items.{suffix}"
    with BatchClient(site.server.address) as client:
        client.export(many, path)
    answer = http.get(f"{site.url}/exports/{many}.{suffix}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.headers["content-disposition"] == f'attachment; filename="batch-{many}.{suffix}"'
    assert answer.headers["cache-control"] == "no-store"
    assert masked(answer.content) == masked(path.read_bytes())
    assert answer.content.count(b'"failed"') == 172


def test_a_head_tells_of_it_alone(site: Site, http: httpx.Client, many: str) -> None:
    answer = http.head(f"{site.url}/exports/{many}.csv")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("018f0000-0000-7000-8000-000000000000.csv", 404, "018f0000-0000-7000-8000-000000000000"),
        ("latest.csv", 400, "batch_id"),
        ("018f0000-0000-7000-8000-000000000000.parquet", 404, "imagebatch export"),
        ("", 404, "imagebatch export"),
    ],
)
def test_what_is_not_there_is_said(site: Site, http: httpx.Client, path: str, status: int, says: str) -> None:
    answer = http.get(f"{site.url}/exports/{path}")
    assert answer.status_code == status
    assert says in answer.text


def test_nothing_else_can_be_done_with_it(site: Site, http: httpx.Client, many: str) -> None:
    answer = http.delete(f"{site.url}/exports/{many}.csv")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_only_the_tenant_reads_it(guarded: Site, http: httpx.Client, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(secret("writer"))
    with BatchClient(ConnectionSettings(guarded.server.address, token_file=str(token))) as client:
        batch_id = client.submit("noop", [BatchImageInput(image_url="http://127.0.0.1:9/a.png")]).batch_id
    url = f"{guarded.url}/exports/{batch_id}.jsonl"

    def shown(name: str, **headers: str) -> httpx.Response:
        return http.get(url, headers={"authorization": f"Bearer {secret(name)}", **headers})

    nobody = http.get(url)
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
    assert shown("other").status_code == 404
    assert shown("reader").status_code == 200
    acting = {"imagebatch-tenant": "acme"}
    assert shown("operator", **acting).status_code == 200
    assert shown("reader", **{"imagebatch-tenant": "rival"}).status_code == 403


def test_a_page_of_another_origin_that_may_call_may_read_it(site: Site, http: httpx.Client, many: str) -> None:
    answer = http.get(f"{site.url}/exports/{many}.csv", headers={"origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
