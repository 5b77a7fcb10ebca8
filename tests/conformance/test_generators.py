"""The .proto files without validation rules, given to the generators of other languages that protoc and gRPC bring.

`test_php.py` and `test_node.py` call a server with what is generated; here it is only made, and C++ is compiled.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import plain_protos

LANGUAGES = ("cpp", "csharp", "java", "kotlin", "objc", "php", "python", "pyi", "ruby")
SERVICES = ("cpp", "php", "python", "ruby")  # those that Debian's protobuf-compiler-grpc brings
_HEADER = Path("/usr/include/google/protobuf/message.h")

pytestmark = pytest.mark.skipif(
    shutil.which("grpc_cpp_plugin") is None, reason="run `make php`: protobuf-compiler-grpc is not installed"
)


@pytest.fixture(scope="module")
def protos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protos")
    plain_protos.write(folder)
    return folder


def generated(protos: Path, *options: str) -> None:
    """Generate from all files. Whatever the generator says is a fault: it warns of what it doesn't understand."""
    files = sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    done = subprocess.run(["protoc", f"-I{protos}", *options, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_messages_are_made_without_a_word(protos: Path, tmp_path: Path, language: str) -> None:
    generated(protos, f"--{language}_out={tmp_path}")
    assert any(path.stat().st_size for path in tmp_path.rglob("*.*"))


@pytest.mark.parametrize("language", SERVICES)
def test_services_are_made_without_a_word(protos: Path, tmp_path: Path, language: str) -> None:
    plugin = shutil.which(f"grpc_{language}_plugin")
    generated(protos, f"--plugin=protoc-gen-grpc={plugin}", f"--grpc_out={tmp_path}")
    assert any("ListBatches" in path.read_text() for path in tmp_path.rglob("*.*"))


@pytest.mark.skipif(
    shutil.which("g++") is None or not _HEADER.exists(), reason="g++ and libprotobuf-dev are not installed"
)
def test_cpp_compiles(protos: Path, tmp_path: Path) -> None:
    generated(protos, f"--cpp_out={tmp_path}")
    for source in sorted(tmp_path.rglob("*.pb.cc")):
        command = ["g++", "-std=c++17", "-fsyntax-only", "-Wall", "-Werror", f"-I{tmp_path}", str(source)]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""
