"""How an item reads in one line: to whoever watches, lists or exports a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from imagebatch_client.texts import one_line, spaced
from imagebatch_client.types import BatchItemResult


def name(result: BatchItemResult) -> str:
    """Name the item as a person would: its file's name, else the end of its URL, else its id."""
    given = result.input_data or {}
    metadata = given.get("metadata")
    called = metadata.get("file_name") if isinstance(metadata, dict) else None
    if not called and isinstance(given.get("image_url"), str):
        called = _end_of(given["image_url"])
    return one_line(str(called or result.item_id))


def _end_of(url: str) -> str:
    """Find the name at the end of a URL's path, else all of it; anything may come as a URL, so nothing is refused."""
    _, _, behind_scheme = url.partition("://")
    return re.split("[?#]", behind_scheme, maxsplit=1)[0].partition("/")[2].rpartition("/")[2] or url


def outcome(result: BatchItemResult) -> str:
    """Say what came of the item in one line: a description, a verdict, a stored image, or an error with its code."""
    if result.error_code is not None:
        return one_line(f"{result.error_code}: {result.error_message or ''}")
    if result.description is not None:
        return one_line(result.description)
    if result.is_verified is not None:
        return one_line(_verdict(result.is_verified, result.output_data or {}))
    if result.stored_object_key is not None:
        return one_line(f"stored as {result.stored_object_key}")
    if result.output_data is not None:
        return one_line(json.dumps(result.output_data, ensure_ascii=False))
    return ""


def _verdict(is_verified: bool, output: Mapping[str, Any]) -> str:
    """Say `verified`, or what speaks against it: the checks that are contradicted, else those that could not tell."""
    if is_verified:
        return "verified"
    said = output.get("checks")
    checks = [check for check in said if isinstance(check, dict)] if isinstance(said, list) else []
    for verdict in ("contradicted", "cannot_tell"):
        reasons = [
            f"{spaced(str(check.get('name')))}: {check.get('detail') or spaced(verdict)}"
            for check in checks
            if check.get("verdict") == verdict
        ]
        if reasons:
            return f"not verified: {'; '.join(reasons)}"
    return "not verified"
