"""Options and arguments that several verbs share, and how their values are read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from imagebatch_client.cli import completion
from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.typed_json import read_json
from imagebatch_client.types import BatchStatus

Chosen = TypeVar("Chosen", bound=StrEnum)


def one_of(choices: Iterable[Chosen]) -> Callable[[str], Chosen]:
    """Make the parser of an option that takes one of `choices`. It raises typer.BadParameter."""
    by_name = {str(choice): choice for choice in choices}

    def read(text: str) -> Chosen:
        if text not in by_name:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(by_name)}")
        return by_name[text]

    return read


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make the parser of an option that takes a whole number. It raises typer.BadParameter."""
    meant = f"{least} or more" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no whole number {meant}") from None
        if number < least or (most is not None and number > most):
            raise typer.BadParameter(f"{number} is not {meant}")
        return number

    return read


def share(text: str) -> float:
    """Read a share, above 0 and at most 1. Raises typer.BadParameter."""
    try:
        number = float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number; give one above 0 and at most 1, such as 0.2") from None
    if not 0 < number <= 1:
        raise typer.BadParameter(f"{text} is not above 0 and at most 1")
    return number


_ID_HELP = "The batch's id, as submit prints it; some of its first or last characters (4 or more); or latest."
BatchId = Annotated[str, typer.Argument(metavar="BATCH_ID", help=_ID_HELP, autocompletion=completion.batch_ids)]
BatchIds = Annotated[
    list[str] | None, typer.Argument(metavar="BATCH_ID", help=_ID_HELP, autocompletion=completion.batch_ids)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, with the contract's field names.")]
ByLabel = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Only batches with this label. Repeatable: with all of them."),
]
ByStatus = Annotated[
    list[BatchStatus] | None,
    typer.Option(
        parser=one_of(BatchStatus),
        autocompletion=completion.values(BatchStatus),
        metavar="STATE",
        help="Only pending, processing, completed, failed, cancelled or partially_completed. Repeatable.",
    ),
]
IsSure = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Only files of folders that match, such as '*.png' or 'raw/*', whatever they end in. Repeatable.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="No files and folders in folders that match. Repeatable."),
]
NulSeparated = Annotated[
    bool, typer.Option("--null", "-0", help="The list on standard input has NUL between names, as find -print0 writes.")
]


def agreed(question: str, purpose: str) -> bool:
    """Ask a person. Raises InvalidRequestError, which tells of --yes, where there is none to be asked."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise usage_error("--yes", f"is needed {purpose} where nobody can be asked")
    return typer.confirm(question, err=True)


# The contract's rules, applied here before images are uploaded for what would then be refused.
_MOST_LABELS, _MOST_KEY, _MOST_VALUE, _MOST_ID = 16, 63, 256, 128


def pairs(option: str, values: Iterable[str]) -> dict[str, str]:
    """Read KEY=VALUE options. Raises InvalidRequestError for one without a key or a "=", and for a key given twice."""
    split: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise usage_error(option, f"{value!r} is not KEY=VALUE")
        if key in split:
            raise usage_error(option, f"{key!r} is given twice, as {split[key]!r} and as {text!r}; give it once")
        split[key] = text
    return split


def labels(values: Iterable[str]) -> dict[str, str]:
    """Read the labels of a new batch."""
    found = pairs("--label", values)
    if len(found) > _MOST_LABELS:
        raise usage_error("--label", f"{len(found)} are given; a batch has at most {_MOST_LABELS}")
    for key, value in found.items():
        if len(key) > _MOST_KEY:
            raise usage_error("--label", f"the key {key!r} has {len(key)} characters; the most are {_MOST_KEY}")
        if len(value) > _MOST_VALUE:
            raise usage_error("--label", f"{key!r} has a value of {len(value)} characters; the most are {_MOST_VALUE}")
    return found


def request_id(value: str | None) -> str | None:
    if value is not None and not 1 <= len(value) <= _MOST_ID:
        raise usage_error("--request-id", f"has {len(value)} characters; give 1 to {_MOST_ID}, or leave it out")
    return value


def item_timeout(value: float | None) -> float | None:
    if value is not None and not 0.1 <= value <= 3600:
        raise usage_error("--item-timeout", f"{value:g} s is not from 0.1s to 1h")
    return value


def parameters(as_json: str | None, singly: Iterable[str]) -> dict[str, Any] | None:
    """Read --parameters (JSON, or @FILE with JSON) and, over it, each --param KEY=VALUE.

    A VALUE that is JSON is taken as such (3, true, ["a"]), anything else as text.
    """
    chosen = {} if as_json is None else _json_object(as_json)
    for key, text in pairs("--param", singly).items():
        try:
            chosen[key] = read_json(text)
        except json.JSONDecodeError:
            chosen[key] = text
        except ValueError as error:
            raise usage_error("--param", f"{key}: {error}") from error
    return chosen or None


def _json_object(text: str) -> dict[str, Any]:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise usage_error("--parameters", f"{text[1:]} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise usage_error("--parameters", f"{text[1:]} is no UTF-8 text; save it as such") from error
    try:
        value = read_json(text)
    except json.JSONDecodeError as error:
        raise usage_error("--parameters", f'is no JSON: {error}; give an object, such as {{"width": 256}}') from error
    except ValueError as error:
        raise usage_error("--parameters", str(error)) from error
    if not isinstance(value, dict):
        raise usage_error("--parameters", f'is a JSON {type(value).__name__}; give an object, such as {{"width": 256}}')
    return value
