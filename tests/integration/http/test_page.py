"""What docs/http.md shows works as it stands there, but for the address."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from tests.integration.http.conftest import Site
from tests.integration.server import pictures
from tests.integration.server.calls import Raw
from tests.server import REPOSITORY

PAGE = (REPOSITORY / "docs" / "http.md").read_text()


def block(word: str) -> str:
    """Find the one block of commands that has a word in it."""
    (found,) = [text for text in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if word in text]
    return str(found)


def run(site: Site, word: str, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        ["bash", "-euc", block(word)],
        cwd=folder,
        env={**os.environ, "HTTP": site.url, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_batch_is_submitted_and_listed(site: Site, tmp_path: Path) -> None:
    submitted = json.loads(run(site, "SubmitBatch", tmp_path))
    assert submitted["totalItems"] == 1
    raw = Raw(site.server.address)
    (result,) = raw.watch_to_end(submitted["batchId"]).results
    raw.close()
    assert result.stored_image_url, result.error_message
    (listed,) = json.loads(run(site, "ListBatches", tmp_path))["batches"]
    assert listed["batchId"] == submitted["batchId"]


def test_an_image_is_uploaded_to_a_url(site: Site, tmp_path: Path, raw: Raw) -> None:
    (tmp_path / "photo.png").write_bytes(pictures.drawn())
    key = run(site, "CreateUploadUrl", tmp_path).strip()
    header, data = raw.download(key)
    assert (header.file_name, data) == ("photo.png", pictures.drawn())


def test_a_batch_is_taken_away_as_a_file(site: Site, tmp_path: Path) -> None:
    submitted = json.loads(run(site, "SubmitBatch", tmp_path))
    run(site, "exports", tmp_path, BATCH_ID=submitted["batchId"])
    assert submitted["batchId"] in (tmp_path / "results.csv").read_text()


def test_the_server_is_well(site: Site, tmp_path: Path) -> None:
    assert run(site, "healthz", tmp_path).split() == ["ok", "ok"]


def test_the_description_names_what_can_be_called(site: Site, tmp_path: Path) -> None:
    described = json.loads(run(site, "openapi.json", tmp_path))
    assert "/imagebatch.v1.BatchService/WatchBatch" in described["paths"]
