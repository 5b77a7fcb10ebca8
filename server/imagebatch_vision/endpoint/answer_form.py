"""The form of an answer, found in what a model said: many think aloud, explain, or put JSON into Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

A = TypeVar("A", bound=BaseModel)

_THINKING = r"think|thinking|thought|reasoning|reflection"
_THOUGHT = re.compile(rf"^\s*[<◁]({_THINKING})\b[^>▷]*[>▷].*?[<◁]/\1[>▷]", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHT = re.compile(rf"[<◁]/(?:{_THINKING})[>▷]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_ENDLESS_THOUGHT = re.compile(rf"^\s*[<◁](?:{_THINKING})\b[^>▷]*[>▷]", re.IGNORECASE)
_FENCE = re.compile(r"(?:```|~~~)[\w-]*[ \t]*\n?(.*?)(?:```|~~~)", re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
_MOST_TRIED = 20
"""Beginnings of JSON that are tried in one answer."""
_MOST_CHARACTERS = 256 * 1024
"""No output of an item may have more."""

_decoder = json.JSONDecoder(strict=False)  # models break lines inside of strings


def _share(said: object) -> float:
    is_percent = isinstance(said, str) and said.rstrip().endswith("%")
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        raise ValueError("is no number from 0 to 1")  # noqa: TRY004 - pydantic reports ValueError alone
    try:
        number = float(said.rstrip("% \t\n") if isinstance(said, str) else said)
    except ValueError:
        raise ValueError("is no number from 0 to 1") from None
    share = number / 100 if is_percent or number > 1 else number
    if not 0 <= share <= 1:
        raise ValueError(f"{said} is no number from 0 to 1")
    return share


Share = Annotated[float, BeforeValidator(_share)]
"""A share from 0 to 1. Many models say it in percent, however they are asked: what is above 1 counts as that."""


class NoAnswer(Exception):
    """Nothing of the form is in what was said; the message says what is wrong with what comes nearest."""


def read_form(text: str, form: type[A]) -> A:
    """Find the answer of a form: the last one, because models draft before they answer. Raises NoAnswer."""
    if len(text) > _MOST_CHARACTERS:
        raise NoAnswer(f"it has {len(text):,} characters, above {_MOST_CHARACTERS:,}")
    problem = "there is no JSON in it"
    for found in _objects(text):
        try:
            return form.model_validate(found, extra="ignore")
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            problem = f"{where}: {first['msg'].removeprefix('Value error, ')}"
    raise NoAnswer(problem)


def without_thoughts(text: str) -> str:
    """Leave out what a model thought aloud before it answered; empty where it never came to an end with that."""
    rest = _THOUGHT.sub("", text)
    ends = list(_END_OF_THOUGHT.finditer(rest))  # without its beginning, which some templates leave out
    rest = rest[ends[-1].end() :] if ends else rest
    return "" if _ENDLESS_THOUGHT.match(rest) else rest


def _objects(text: str) -> Iterator[Any]:
    """Yield the JSON objects of a text, the likeliest answer first."""
    whole = _loaded(text)
    if whole is not None:
        yield whole
        return
    answer = without_thoughts(text)
    yield from filter(None, [_loaded(answer), *(_loaded(block) for block in reversed(_FENCE.findall(answer)))])
    yield from reversed(list(_embedded(answer)))


def _embedded(text: str) -> Iterator[Any]:
    """Yield the outermost objects that stand between other words."""
    at = text.find("{")
    for _ in range(_MOST_TRIED):
        if at < 0:
            return
        found, end = _decoded(text[at:])
        if found is not None:
            yield found
        at = text.find("{", at + max(end, 1))


def _loaded(text: str) -> Any:
    """Read a text that is JSON and nothing else; None if it isn't an object."""
    stripped = text.strip().removeprefix("\ufeff")
    found, end = _decoded(stripped)
    return found if found is not None and not stripped[end:].strip() else None


def _decoded(text: str) -> tuple[Any, int]:
    """Read an object at the beginning of a text; None without one. Its end is that in the text itself."""
    for tried in (text, _TRAILING_COMMA.sub(lambda match: match[1] or " ", text)):
        try:
            found, end = _decoder.raw_decode(tried)
        except (ValueError, RecursionError):
            continue
        only = found[0] if isinstance(found, list) and len(found) == 1 else found
        return (only, end) if isinstance(only, dict) else (None, end)
    return None, 0
