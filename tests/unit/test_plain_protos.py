"""The contract without validation rules is the same contract: no generator sees anything but the rules missing."""

from __future__ import annotations

import subprocess
import sysconfig
import zipfile
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from tests.server import REPOSITORY

import generate
import plain_protos

BUF = Path(sysconfig.get_path("scripts")) / "buf"


def compiled(folder: Path) -> dict[str, FileDescriptorProto]:
    """Compile the contract's files in a folder, by name, with comments and without rules."""
    built = subprocess.run(
        [BUF, "build", str(folder), "--as-file-descriptor-set", "-o", "-"], check=True, stdout=subprocess.PIPE
    )
    described = generate.without_validation(FileDescriptorSet.FromString(built.stdout))
    return {file.name: file for file in described.file if file.name.startswith("imagebatch/")}


def comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Find what is said before each part of the file."""
    locations = file.source_code_info.location
    return {tuple(location.path): location.leading_comments for location in locations if location.leading_comments}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    plain_protos.write(tmp_path)
    return tmp_path


def test_it_compiles_to_the_same_descriptors(plain: Path) -> None:
    ours, annotated = compiled(plain), compiled(REPOSITORY / "protos")
    assert list(ours) == list(annotated) != []
    for name, file in ours.items():
        assert comments(file) == comments(annotated[name]) != {}
        for each in (file, annotated[name]):
            each.ClearField("source_code_info")
        assert file == annotated[name]


def test_it_has_no_trace_of_the_rules_and_is_laid_out(plain: Path) -> None:
    for path in plain.rglob("*.proto"):
        assert "buf" not in path.read_text().replace("protobuf", "")
    subprocess.run([BUF, "format", "--diff", "--exit-code", str(plain)], check=True)


def test_what_is_left_beside_a_rule_stays() -> None:
    text = """
import "buf/validate/validate.proto";
import "google/type/date.proto";
message A {
  option (buf.validate.message).oneof = {fields: ["a;", "}"]};

  // [(buf.validate.field).required = true]
  string a = 1 [deprecated = true, (buf.validate.field) = {cel: {id: "x]", message: ";"}}, json_name = "b"]; // [x]
  string b = 2 [
    (buf.validate.field).string.max_len = 1
  ];
  repeated int32 c = 3 [packed = false];
  option deprecated = true;
}
"""
    assert (
        plain_protos.plain(text)
        == """
import "google/type/date.proto";
message A {
  // [(buf.validate.field).required = true]
  string a = 1 [deprecated = true, json_name = "b"]; // [x]
  string b = 2;
  repeated int32 c = 3 [packed = false];
  option deprecated = true;
}
"""
    )


def test_the_archive_has_the_files_and_the_licence(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("archives")
    for name in ("first", "second"):
        plain_protos.pack(plain, folder / name)
    assert (folder / "first").read_bytes() == (folder / "second").read_bytes()
    with zipfile.ZipFile(folder / "first") as packed:
        names = packed.namelist()
    assert "imagebatch-protos/LICENSE" in names
    assert "imagebatch-protos/imagebatch/v1/batch_service.proto" in names
