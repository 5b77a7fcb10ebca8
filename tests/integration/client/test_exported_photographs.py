"""Real photographs from a real server as files, read by those who read such files; and a killed exporter's."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage
from PIL import Image
from tests.server import ServerProcess, running_server
from typer.testing import CliRunner

from imagebatch_client import BatchClient, BatchExport, BatchItemResult, ItemErrorCode
from imagebatch_client.cli.app import app

pytestmark = [pytest.mark.export, pytest.mark.timeout(300)]

DATA = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = [DATA / name for name in ("astronaut.png", "chelsea.png", "rocket.jpg")]
BROKEN = "=cmd|' calc'!A0.jpg"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[BatchClient]:
    with BatchClient(server.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def described(client: BatchClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Describe the photographs, and one file that is none."""
    broken = tmp_path_factory.mktemp("broken") / BROKEN
    broken.write_bytes(b"no picture")
    batch = client.submit_files("describe", [*PHOTOGRAPHS, broken], parameters={"read_text": "never"})
    client.wait_for_completion(batch.batch_id, timeout=240)
    return batch.batch_id


@pytest.fixture(scope="module")
def results(client: BatchClient, described: str) -> list[BatchItemResult]:
    return list(client.get_all_results(described))


@pytest.fixture(scope="module")
def exported(client: BatchClient, described: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export it in every format; answers the paths without their endings."""
    stem = tmp_path_factory.mktemp("exported") / "out"
    for suffix in (".parquet", ".csv", ".jsonl"):
        path = stem.with_suffix(suffix)
        assert client.export(described, path) == BatchExport(str(path), 4, 4, 0)
    return stem


def outputs(results: list[BatchItemResult], name: str) -> list[Any]:
    return [(result.output_data or {}).get(name) for result in results]


def test_pandas_reads_parquet(exported: Path, results: list[BatchItemResult]) -> None:
    import pandas as pd

    frame = pd.read_parquet(exported.with_suffix(".parquet"))
    assert list(frame["item_id"]) == [result.item_id for result in results]
    assert [value if isinstance(value, str) else None for value in frame["output.description"]] == outputs(
        results, "description"
    )
    assert str(frame["output.confidence_score"].dtype) == "float64"
    assert str(frame["completed_at"].dtype).startswith("datetime64[")
    assert frame["output.tags"][0][0]["name"] == outputs(results, "tags")[0][0]["name"]
    assert frame["error_code"][3] == ItemErrorCode.UNSUPPORTED_FORMAT.value


def test_polars_reads_parquet(exported: Path, results: list[BatchItemResult]) -> None:
    import polars as pl

    frame = pl.read_parquet(exported.with_suffix(".parquet"))
    assert frame["output.tags"].to_list() == outputs(results, "tags")
    assert frame["output.confidence_score"].to_list() == outputs(results, "confidence_score")
    assert frame["completed_at"].to_list() == [result.completed_at for result in results]
    assert frame.schema["output.width"] == pl.Int64
    assert frame.schema["output.is_truncated"] == pl.Boolean
    assert json.loads(frame["input.metadata"][0]) == {"file_name": "astronaut.png"}
    assert frame["output_other"].null_count() == 4


def test_duckdb_reads_parquet(exported: Path, results: list[BatchItemResult]) -> None:
    import duckdb

    table = duckdb.read_parquet(str(exported.with_suffix(".parquet")))
    sharpness = table.project('"output.quality.sharpness"').fetchall()
    assert [value for (value,) in sharpness] == [
        quality and quality["sharpness"] for quality in outputs(results, "quality")
    ]
    models = table.project('[model.name for model in "output.models"]').fetchall()
    assert [value for (value,) in models] == [
        used and [model["name"] for model in used] for used in outputs(results, "models")
    ]
    (failed,) = table.filter("status = 'failed'").project('"input.metadata"').fetchall()
    assert json.loads(failed[0]) == {"file_name": BROKEN}


def test_all_three_read_csv(exported: Path, results: list[BatchItemResult]) -> None:
    import duckdb
    import pandas as pd
    import polars as pl

    path = exported.with_suffix(".csv")
    frame = pd.read_csv(path)
    assert list(frame["item_index"]) == list(range(4))
    assert list(frame["output.width"][:3]) == outputs(results, "width")[:3]
    assert [json.loads(text) for text in frame["output.tags"][:3]] == outputs(results, "tags")[:3]
    assert pl.read_csv(path)["output.description"].to_list()[:3] == outputs(results, "description")[:3]
    counted = duckdb.read_csv(str(path)).aggregate('count(*), sum("output.width")')
    assert counted.fetchall() == [(4, sum(outputs(results, "width")[:3]))]


def test_json_lines_are_what_results_prints(exported: Path, server: ServerProcess, described: str) -> None:
    printed = CliRunner().invoke(app, ["results", described, "--json", "--address", server.address]).stdout
    lines = exported.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    # Signed and other URLs are made when they are read; keys of objects have no order on the wire.
    assert [json.loads(line) for line in lines] == [json.loads(line) for line in printed.splitlines()]


def test_a_page_shows_thumbnails(client: BatchClient, tmp_path: Path) -> None:
    batch = client.submit_files("thumbnail", PHOTOGRAPHS, parameters={"width": 64})
    client.wait_for_completion(batch.batch_id, timeout=240)
    client.batch(batch.batch_id).export(tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall('src="data:image/jpeg;base64,([^"]*)"', text)
    ]
    assert [max(picture.size) for picture in pictures] == [64] * 3
    assert [name for name in map(str, PHOTOGRAPHS) if f">{Path(name).name}<" not in text] == []


_EXPORTER = """
import sys, time
from imagebatch_client import BatchClient
from imagebatch_client.export import export

export._SAVED_ITEMS, export.Export.page_size = 2, 1
address, batch_id, path = sys.argv[1:]

def half_way(progress):
    if progress.items == 3:
        print("half-way", flush=True)
        time.sleep(600)

with BatchClient(address) as client:
    client.export(batch_id, path, on_export=half_way)
"""


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_killed_exporter_is_followed_by_another(
    exported: Path, client: BatchClient, server: ServerProcess, described: str, tmp_path: Path, suffix: str
) -> None:
    path, seen = tmp_path / f"out{suffix}", list[BatchExport]()
    command = [sys.executable, "-c", _EXPORTER, server.address, described, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as exporter:
        assert exporter.stdout is not None
        assert exporter.stdout.readline() == "half-way\n"
        exporter.kill()
    assert exporter.returncode == -signal.SIGKILL
    assert not path.exists()
    assert client.export(described, path, on_export=seen.append) == BatchExport(str(path), 4, 4, 0)
    assert [progress.items for progress in seen] == [4]
    assert list(tmp_path.iterdir()) == [path]
    assert _rows(path) == _rows(exported.with_suffix(suffix))


def _rows(path: Path) -> Any:
    """Read what is in an export: of objects in it, keys have no order on the wire."""
    if path.suffix == ".parquet":
        import polars as pl

        return pl.read_parquet(path).to_dicts()
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".csv" else [json.loads(line) for line in text.splitlines()]
