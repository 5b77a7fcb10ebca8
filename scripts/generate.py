"""Write `generated/` from `protos/`: `make generate` runs it in an environment of its own, with pinned generators.

The annotated descriptors (with the buf.validate rules) go to the server as they are. The stubs are made from a copy
without any trace of buf.validate: a client that carried its own copy of `buf/validate/validate.proto` would break every
program that carries another version of it ("duplicate file name" in protobuf's descriptor pool).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

from generate_enums import render_enums
from generate_openapi import render_openapi

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
PACKAGE = Path("imagebatch/v1")
RULES = Path("imagebatch_rules/v1.binpb")
"""The server's alone: no client is to carry any of it."""
OPENAPI = Path("imagebatch_rules/v1.openapi.json")


def build_descriptors() -> FileDescriptorSet:
    """Compile `protos/` with everything that it imports; unknown options (buf.validate's) survive as unknown fields."""
    built = subprocess.run(
        [TOOLS / "buf", "build", "--as-file-descriptor-set", "-o", "-"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return FileDescriptorSet.FromString(built.stdout)


def without_source_info(descriptors: FileDescriptorSet) -> FileDescriptorSet:
    """Copy the descriptors without comments and positions, which a running server has no use for."""
    bare = FileDescriptorSet()
    bare.CopyFrom(descriptors)
    for file in bare.file:
        file.ClearField("source_code_info")
    return bare


def without_validation(descriptors: FileDescriptorSet) -> FileDescriptorSet:
    """Copy the descriptors without buf.validate's files, imports and options; comments stay, for the stubs."""
    plain = FileDescriptorSet()
    plain.file.extend(file for file in descriptors.file if not _is_validation(file.name))
    plain.DiscardUnknownFields()
    for file in plain.file:
        _drop_validation_imports(file)
        _drop_empty_options(file)
    return plain


def _is_validation(name: str) -> bool:
    return name.startswith("buf/")


def _drop_validation_imports(file: FileDescriptorProto) -> None:
    if file.public_dependency or file.weak_dependency:
        raise ValueError(f"{file.name}: public and weak imports are counted by position; drop them from the proto")
    kept = [name for name in file.dependency if not _is_validation(name)]
    file.ClearField("dependency")
    file.dependency.extend(kept)


def _drop_empty_options(message: Message) -> None:
    """Remove the options messages that held nothing but validation rules, at every depth."""
    for field, value in message.ListFields():
        if field.name == "options" and not value.ByteSize():
            message.ClearField("options")
        elif field.type == field.TYPE_MESSAGE:
            for child in value if field.is_repeated else [value]:
                _drop_empty_options(child)


def write_stubs(plain: FileDescriptorSet, out: Path) -> None:
    """Run protoc on the plain descriptors: messages, services, and types for both."""
    sources = [file.name for file in plain.file if file.name.startswith(f"{PACKAGE}/")]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        descriptors.write(plain.SerializeToString(deterministic=True))
        descriptors.flush()
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptors.name}"),
                *(f"--plugin={plugin}={TOOLS / plugin}" for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
                *(f"--{kind}_out={out}" for kind in ("python", "grpc_python")),
                *(f"--{kind}_out=quiet:{out}" for kind in ("mypy", "mypy_grpc")),
                *sources,
            ],
            check=True,
        )


def generate(out: Path) -> None:
    """Write both packages below `out`, an empty folder."""
    annotated = build_descriptors()
    plain = without_validation(annotated)
    write_stubs(plain, out)
    package, rules = out / PACKAGE, out / RULES
    rules.parent.mkdir()
    rules.write_bytes(without_source_info(annotated).SerializeToString(deterministic=True))
    (out / OPENAPI).write_text(render_openapi(annotated), encoding="utf-8")
    (package / "enums.py").write_text(render_enums(plain, package="imagebatch.v1"), encoding="utf-8")
    (package / "py.typed").touch()


def replace_folder(new: Path, old: Path) -> None:
    """Make `old` equal to `new`, touching only the files that differ, so that nothing else is built again."""
    wanted = {path.relative_to(new) for path in new.rglob("*") if path.is_file()}
    for path in old.rglob("*"):
        if path.is_file() and path.relative_to(old) not in wanted and "__pycache__" not in path.parts:
            path.unlink()
    for name in wanted:
        content = (new / name).read_bytes()
        target = old / name
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def main() -> None:
    """Generate into a temporary folder first, so that a failure leaves what is there untouched."""
    parser = argparse.ArgumentParser(description="Write the generated package from protos/.")
    parser.add_argument("--out", type=Path, default=ROOT / "generated", help="folder to write (default: generated/)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        replace_folder(Path(folder), arguments.out)


if __name__ == "__main__":
    main()
