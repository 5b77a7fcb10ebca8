"""A client in PHP, made from the .proto files without validation rules, as Debian's packages can make one.

protoc and gRPC's plug-in generate `BatchServiceClient` and the messages; `php/main.php` plays a scenario with them.
Debian has no package of gRPC's extension for PHP, so `php/grpc.php` brings what the generated client needs of it, by
curl.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from tests.integration.server import pictures
from tests.operations import open_gate
from tests.server import ServerProcess

import plain_protos

PHP = Path(__file__).parent / "php"
ITEMS = 50


def missing() -> list[str]:
    """Name the packages that are not installed."""
    programs = {"php": "php-cli", "protoc": "protobuf-compiler", "grpc_php_plugin": "protobuf-compiler-grpc"}
    found = [package for program, package in programs.items() if shutil.which(program) is None]
    files = {
        "/usr/share/php/Google/Protobuf": "php-google-protobuf",
        "/usr/include/google/protobuf/struct.proto": "libprotobuf-dev",
    }
    found += [package for path, package in files.items() if not Path(path).exists()]
    if "php-cli" not in found:
        has_curl = subprocess.run(["php", "-r", "exit((int) !extension_loaded('curl'));"], check=False)
        found += ["php-curl"] if has_curl.returncode else []
    return found


pytestmark = pytest.mark.skipif(bool(missing()), reason=f"run `make php`: {', '.join(missing())} not installed")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate the client and its messages by protoc from the plain files, with google.rpc's for errors."""
    protos, out = tmp_path_factory.mktemp("protos"), tmp_path_factory.mktemp("generated")
    sources = [path.relative_to(protos) for path in plain_protos.write(protos)]
    shared = Path(sysconfig.get_path("purelib"))  # google/rpc/*.proto ship with googleapis-common-protos
    google = [f"google/rpc/{name}.proto" for name in ("status", "error_details")]
    subprocess.run(
        [
            *("protoc", f"-I{protos}", f"-I{shared}", f"--php_out={out}", f"--grpc_out={out}"),
            f"--plugin=protoc-gen-grpc={shutil.which('grpc_php_plugin')}",
            *map(str, sources),
            *google,
        ],
        check=True,
    )
    return out


def test_submit_watch_resume_and_page(generated: Path, server: ServerProcess, tmp_path: Path) -> None:
    gate, wide_open = tmp_path / "gate", tmp_path / "open"
    open_gate(gate, ITEMS // 2)
    open_gate(wide_open, ITEMS)
    asked = {
        "address": server.address,
        "generated": str(generated),
        "gate": str(gate),
        "open_gate": str(wide_open),
        "image": pictures.data_url(pictures.drawn()),
        "items": ITEMS,
    }
    done = subprocess.run(
        ["php", str(PHP / "main.php"), json.dumps(asked)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["submitted"] == "BATCH_STATUS_PENDING"
    assert ITEMS // 4 <= seen["before_the_cut"] <= ITEMS // 2
    assert [result["sequence"] for result in seen["watched"]] == list(range(1, ITEMS + 1))
    assert (seen["watch_code"], seen["status"], seen["priority"]) == (0, "BATCH_STATUS_COMPLETED", 7)
    assert [result["item_index"] for result in seen["paged"]] == list(range(ITEMS))
    assert seen["paged"] == sorted(seen["watched"], key=lambda result: result["item_index"])
    assert seen["paged"][3]["input"]["metadata"] == {"from": "PHP", "n": 3}
    assert seen["paged"][3]["output"] == {"description": "64 x 48"}
    assert seen["refusal"] == {"code": 3, "reason": "INVALID_REQUEST", "field": "limit"}
