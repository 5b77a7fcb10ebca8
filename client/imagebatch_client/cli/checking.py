"""What the server would refuse once everything was uploaded for it: it is told before, all of it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from imagebatch_client import requests
from imagebatch_client.cli import schema
from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.entries import URL, Entry, ImageUrl, files_of, items_of
from imagebatch_client.errors import FieldViolation, InvalidRequestError
from imagebatch_client.files import ImageFile, problem_of
from imagebatch_client.sync import BatchClient
from imagebatch_client.types import BatchImageInput, ServerLimits

_OF_VISION: Final = ("describe", "verify")
"""Operations that a server lacks which was installed without them."""

# The contract's rule.
_ITEM_ID: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


def check(client: BatchClient, operation: str, parameters: dict[str, Any], entries: Sequence[Entry]) -> None:
    """Check the operation, its parameters and every image. Raises InvalidRequestError with all that is wrong."""
    offered = {each.name: each for each in client.list_operations()}
    if operation not in offered:
        remedy = "; its operator adds it with: pip install 'imagebatch[vision]'" if operation in _OF_VISION else ""
        raise usage_error(
            "--operation", f"{operation!r} is unknown to the server; it offers {', '.join(offered)}{remedy}"
        )
    if found := list(schema.problems(parameters, offered[operation].parameters_schema or {}, "parameters")):
        raise usage_error("--param", *found)
    # A server that is asked for nothing but URLs and keys refuses by itself, and before it costs anything.
    limits = client.server_info().limits if files_of(entries) else None
    if limits is not None and 0 < limits.max_items_per_batch < len(entries):
        raise usage_error(
            "PATH", f"there are {len(entries):,} images; the server takes {limits.max_items_per_batch:,} in a batch"
        )
    violations = list(_violations(entries, limits))
    if len(violations) == 1:
        raise InvalidRequestError.of_field(violations[0].field, violations[0].description)
    if violations:
        raise InvalidRequestError(f"{len(violations)} problems; nothing was sent", violations=violations)


def _violations(entries: Sequence[Entry], limits: ServerLimits | None) -> Iterator[FieldViolation]:
    named: dict[str, Entry] = {}
    items = items_of(entries, ["not uploaded yet"] * len(entries))
    for entry, item in zip(entries, items, strict=True):
        for problem in (_of_id(entry, named), _of_source(entry, limits), _of_metadata(item, limits)):
            if problem:
                yield FieldViolation(entry.where, problem)


def _of_id(entry: Entry, named: dict[str, Entry]) -> str:
    if entry.item_id is None:
        return ""
    if not _ITEM_ID.fullmatch(entry.item_id):
        return f"item_id {entry.item_id!r:.140} is not 1 to 128 characters of A-Z a-z 0-9 _ . : / -"
    if (first := named.setdefault(entry.item_id, entry)) is not entry:
        at = first.where.removeprefix("--manifest: ")
        return f"item_id {entry.item_id!r} is that of {at} too; give every item its own, or none"
    return ""


def _of_source(entry: Entry, limits: ServerLimits | None) -> str:
    match entry.source:
        case ImageFile(path=path) if limits is not None:
            problem, _ = problem_of(path, limits.max_image_bytes)
            return f"{path} {problem}" if problem else ""
        case ImageUrl(url) if not URL.match(url):
            return f"url {url!r:.140} does not begin with http:// or https://"
    return ""


def _of_metadata(item: BatchImageInput, limits: ServerLimits | None) -> str:
    if item.metadata is None:
        return ""
    try:
        size_bytes = requests.image_input(item, 0).metadata.ByteSize()
    except InvalidRequestError as error:
        violation = error.violations[0]
        return f"{violation.field.removeprefix('items[0].')}: {violation.description}"
    if limits is not None and size_bytes > limits.max_metadata_bytes > 0:
        return f"metadata has {size_bytes:,} bytes; the server takes {limits.max_metadata_bytes:,}"
    return ""
