"""Texts of images, files and servers, made fit for where they are shown: nothing in them steers a terminal."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from datetime import datetime
from typing import Any

# Control characters, marks that turn the direction of text around, private and surrogate code points, line separators.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # of emoji, and of letters in Persian and Indic scripts: they only join
_MARK = "\x00"
_MARKS = re.compile(f"{_MARK}+")


def safe(text: str) -> str:
    """`text` with a space for each run of characters that a terminal acts on, line breaks included."""
    if text.isprintable():
        return text
    return _MARKS.sub(" ", "".join(_MARK if _steers(character) else character for character in text))


def one_line(text: str) -> str:
    """Clean the text, and strip the space around it."""
    return safe(text).strip()


def spaced(value: str) -> str:
    """`partially_completed` as "partially completed"."""
    return value.replace("_", " ")


def json_line(value: Any, *, ensure_ascii: bool = False) -> str:
    r"""Write a public dataclass, or a list of them, as one line of JSON with the contract's field names.

    Characters that a terminal acts on stand in it as `\u` escapes.
    """
    return _escaped((_ASCII_JSON if ensure_ascii else _JSON).encode(value))


def _escaped(json_text: str) -> str:
    """Escape such characters, which stand in the strings of JSON alone."""
    if json_text.isprintable():
        return json_text
    return "".join(json.dumps(character)[1:-1] if _steers(character) else character for character in json_text)


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return {field.name: _in_order(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _in_order(value: Any) -> Any:
    """Order keys by their names: their order is lost on the wire, and the same item is to be the same line."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value


_JSON = json.JSONEncoder(default=_jsonable, ensure_ascii=False, separators=(",", ":"))
_ASCII_JSON = json.JSONEncoder(default=_jsonable, separators=(",", ":"))


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _STEERING and character not in _JOINERS
