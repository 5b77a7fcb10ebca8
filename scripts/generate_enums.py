"""The contract's enums as `str` enums that need no protobuf, rendered as one Python file."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from google.protobuf.descriptor_pb2 import EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

HEADER = '''\
"""The contract's enums, one name from the wire to the row. Generated from the protos by `make generate`; do not edit.

`X_BY_NUMBER` gives the member for a number on the wire, `X_NUMBERS` the number for a member. The zero value,
UNSPECIFIED, has no member: absence is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:  # the numbers have the stubs' types, and still nothing here loads protobuf
    from {package} import {modules}
'''

# These travel by name (in google.rpc.ErrorInfo.reason), as they are and without a number; all others are lower-case.
BY_NAME = frozenset({"ErrorReason"})

# Field numbers in descriptor.proto, which positions in source_code_info are made of.
_FILE_ENUM = 5
_ENUM_VALUE = 2

_WIDTH = 120

_Comments = Mapping[tuple[int, ...], str]


@dataclass(frozen=True)
class _Member:
    name: str
    value: str
    number: int
    comment: str


@dataclass(frozen=True)
class _Enum:
    name: str
    module: str
    comment: str
    members: Sequence[_Member]

    @property
    def constant(self) -> str:
        return _upper_snake(self.name)

    @property
    def has_numbers(self) -> bool:
        return self.name not in BY_NAME


def render_enums(descriptors: FileDescriptorSet, package: str) -> str:
    """Render every enum of the package, in the order of files and of declaration.

    Raises ValueError for an enum inside a message or a value without its enum's prefix, which have no name here.
    """
    files = sorted((file for file in descriptors.file if file.package == package), key=lambda file: file.name)
    enums = [enum for file in files for enum in _read_file(file)]
    modules = sorted({enum.module for enum in enums if enum.has_numbers})
    header = HEADER.format(package=package, modules=", ".join(modules))
    return "\n".join([header, *(_render(enum) for enum in enums)])


def _read_file(file: FileDescriptorProto) -> Iterator[_Enum]:
    nested = [f"{message.name}.{enum.name}" for message in file.message_type for enum in message.enum_type]
    if nested:
        raise ValueError(f"{file.name}: {', '.join(nested)}: declare enums at the top level of the file")
    comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    module = f"{PurePath(file.name).stem}_pb2"
    for index, enum in enumerate(file.enum_type):
        path = (_FILE_ENUM, index)
        yield _Enum(enum.name, module, comments.get(path, ""), list(_read_members(enum, path, comments)))


def _read_members(enum: EnumDescriptorProto, path: tuple[int, ...], comments: _Comments) -> Iterator[_Member]:
    prefix = f"{_upper_snake(enum.name)}_"
    for index, value in enumerate(enum.value):
        if not value.name.startswith(prefix):
            raise ValueError(f"{enum.name}: {value.name} must begin with {prefix}")
        if value.number == 0:
            continue
        name = value.name.removeprefix(prefix)
        text = name if enum.name in BY_NAME else name.lower()
        yield _Member(name, text, value.number, comments.get((*path, _ENUM_VALUE, index), ""))


def _render(enum: _Enum) -> str:
    lines = ["", f"class {enum.name}(StrEnum):", *_docstring(enum.comment), ""]
    for member in enum.members:
        lines += [f'    {member.name} = "{member.value}"', *_docstring(member.comment), ""]
    if enum.has_numbers:
        lines += ["", *_numbers(enum), ""]
    return "\n".join(lines)


def _numbers(enum: _Enum) -> Iterator[str]:
    yield f"{enum.constant}_BY_NUMBER: Final[Mapping[int, {enum.name}]] = {{"
    yield from (f"    {member.number}: {enum.name}.{member.name}," for member in enum.members)
    yield "}"
    yield f"{enum.constant}_NUMBERS: Final = cast("
    yield f'    "Mapping[{enum.name}, {enum.module}.{enum.name}.ValueType]",'
    yield "    {"
    yield from (f"        {enum.name}.{member.name}: {member.number}," for member in enum.members)
    yield "    },"
    yield ")"


def _docstring(comment: str) -> list[str]:
    """Lay a proto comment out as a docstring at the depth of a class body; none for no comment."""
    escaped = comment.replace("\\", "\\\\").replace('"', '\\"')
    paragraphs = [" ".join(part.split()) for part in escaped.split("\n\n") if part.strip()]
    if not paragraphs:
        return []
    if len(paragraphs) == 1 and len(paragraphs[0]) + len('    """"""') <= _WIDTH:
        return [f'    """{paragraphs[0]}"""']
    filled = "\n\n".join(textwrap.fill(part, _WIDTH - len('    """'), break_long_words=False) for part in paragraphs)
    return textwrap.indent(f'"""{filled}\n"""', "    ").split("\n")


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
