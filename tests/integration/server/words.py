"""What the .proto files say, for tests that hold the server to it."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from tests.server import REPOSITORY

BUF = Path(sysconfig.get_path("scripts")) / "buf"
_SERVICES, _METHODS = FileDescriptorProto.SERVICE_FIELD_NUMBER, 2
_MESSAGES, _FIELDS = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, 2
_ERROR = re.compile(r"([A-Z_]+) \((?:BadRequest; )?ErrorInfo ([A-Z_]+(?:(?:, or |, | or )[A-Z_]+)*)")
_REASON = re.compile(r"[A-Z_]{4,}")


@cache
def said() -> dict[str, str]:
    """Read the comment on each rpc, as `BatchService.SubmitBatch`, and on each field, as `BatchOptions.priority`."""
    built = subprocess.run(
        [BUF, "build", str(REPOSITORY), "--as-file-descriptor-set", "-o", "-"], check=True, stdout=subprocess.PIPE
    )
    files = FileDescriptorSet.FromString(built.stdout).file
    return {name: comment for file in files if file.package == "imagebatch.v1" for name, comment in _comments(file)}


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        comment = " ".join(location.leading_comments.split())
        match list(location.path):
            case [number, holder, part, index] if (number, part) == (_SERVICES, _METHODS):
                service = file.service[holder]
                yield f"{service.name}.{service.method[index].name}", comment
            case [number, holder, part, index] if (number, part) == (_MESSAGES, _FIELDS):
                message = file.message_type[holder]
                yield f"{message.name}.{message.field[index].name}", comment


def errors_of(rpc: str) -> set[tuple[str, str]]:
    """List the errors that the comment on an rpc states, each a status code with a reason."""
    _, _, errors = said()[rpc].partition("Errors: ")
    return {(code, reason) for code, reasons in _ERROR.findall(errors) for reason in _REASON.findall(reasons)}
