"""`imagebatch serve` as its operator meets it: settings, what it prints, what it leaves readable, what it logs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.server.calls import Raw, item, watched
from tests.server import ServerProcess, running_server

from imagebatch.v1.batch_service_pb2 import GetServerInfoRequest, WatchBatchRequest

SERVE = [sys.executable, "-m", "imagebatch_client", "serve"]


def refused(tmp_path: Path, *flags: str, code: int = 2, **variables: str) -> str:
    """Tell what a server says that doesn't start."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEBATCH_")}
    done = subprocess.run(
        [*SERVE, "--data-dir", str(tmp_path / "data"), "--address", "127.0.0.1:0", *flags],
        env=environ | variables, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert not (tmp_path / "data").exists()
    return done.stderr


def test_a_misspelt_variable_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    told = refused(tmp_path, IMAGEBATCH_WORKER="3", IMAGEBATCH_TOKEN="of the client", IMAGEBATCH_XYZZY="1")
    assert told.splitlines() == [
        "IMAGEBATCH_WORKER is no setting of this server; did you mean IMAGEBATCH_WORKERS?",
        "IMAGEBATCH_XYZZY is no setting of this server; `imagebatch serve --help` names all; unset it",
    ]


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("--max-image-bytes", "50 apples", "'50 apples' is no amount; write a number of bytes, 64KiB, 50MiB or 2GiB"),
        ("--retention-s", "soon", "'soon' is no amount; write a number of seconds, 500ms, 2m, 12h or 30d"),
        ("--max-image-bytes", "0.5", "valid integer"),
    ],
)
def test_an_amount_that_is_none_is_refused(tmp_path: Path, flag: str, value: str, told: str) -> None:
    assert told in refused(tmp_path, flag, value)


def test_settings_that_need_each_other_are_refused_in_one_line(tmp_path: Path) -> None:
    told = refused(tmp_path, "--tls-certificate", str(tmp_path / "server.pem"))
    assert told == (
        "imagebatch serve: --tls-certificate and --tls-key need each other: give both, or neither for plain text\n"
    )


def test_a_bad_file_is_told_of_with_the_options_that_name_it(tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    flags = "--tls-certificate", str(certificate), "--tls-key", str(key)
    assert refused(tmp_path, *flags, code=1) == (
        f"imagebatch serve: --tls-certificate: {certificate}: No such file or directory\n"
    )
    certificate.touch()
    key.touch()
    begun = f"imagebatch serve: --tls-certificate, --tls-key: {certificate}, {key}: no certificate"
    assert refused(tmp_path, *flags, code=1).startswith(begun)


def test_sizes_and_times_may_have_units(tmp_path: Path) -> None:
    settings = {"max_image_bytes": "2MiB", "max_request_bytes": "8 MiB", "stop_grace_s": "500ms", "retention_s": "30d"}
    with running_server(tmp_path / "data", settings) as server:
        raw = Raw(server.address)
        limits = raw.batches.GetServerInfo(GetServerInfoRequest(), timeout=30).limits
        assert (limits.max_image_bytes, limits.max_request_bytes) == (2 * 2**20, 8 * 2**20)
        raw.close()


def test_what_callers_sent_is_the_servers_alone_to_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with running_server(tmp_path / "data") as server:
            raw = Raw(server.address)
            raw.upload(b"private")
            raw.close()
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [server.data_dir, *server.data_dir.rglob("*")]}
    finally:
        os.umask(before)
    assert any(path.is_file() and "objects" in path.parts for path in modes)
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_the_start_is_told_as_json_where_logs_are(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    process = server.spawn()
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert (told["event"], told["address"]) == ("server.listening", server.address)
    server.stop()


@pytest.mark.parametrize("redirect", [">&-", ">/dev/full"])
def test_a_server_runs_although_nobody_can_read_its_start(tmp_path: Path, redirect: str) -> None:
    server = ServerProcess(tmp_path / "data")
    command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *SERVE]
    with subprocess.Popen(command, env=server.environment, stderr=subprocess.PIPE, text=True) as process:
        raw = Raw(server.address)
        assert raw.batches.GetServerInfo(GetServerInfoRequest(), timeout=60, wait_for_ready=True).version
        raw.close()
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in told


def test_items_that_fail_leave_a_line_of_each_code_and_not_one_each(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        raw = Raw(server.address)
        key = raw.upload(b"no picture").object_key
        batch_id = raw.submit([item(object_key=key)] * 25, operation="thumbnail").batch_id
        watched(raw.batches.WatchBatch(WatchBatchRequest(batch_id=batch_id), timeout=60))
        raw.close()
    lines = [json.loads(line) for line in server.log.splitlines() if '"item.failed"' in line]
    assert len(lines) < 25
    assert lines[0]["left_out"] == 0
    assert sum(1 + line["left_out"] for line in lines) == 25
    assert {(line["batch_id"], line["error_code"]) for line in lines} == {(batch_id, "unsupported_format")}
    assert all(line["why"] for line in lines)
