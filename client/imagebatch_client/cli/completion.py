"""What the shell completes values with: what the server, the file of profiles or a list of choices has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum
from itertools import islice

import typer

from imagebatch_client.cli import config
from imagebatch_client.errors import ImagebatchError
from imagebatch_client.sync import BatchClient
from imagebatch_client.texts import one_line

# Whoever presses the key waits for it.
_PATIENCE_S = 1.5
_BATCHES = 50

Found = list[tuple[str, str]]
"""Values, each with a word on it for the shells that show one."""


def values(choices: Iterable[StrEnum]) -> Callable[[str], list[str]]:
    """Make the completion of an option that takes one of `choices`."""
    names = [str(choice) for choice in choices]

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def profiles(incomplete: str) -> list[str]:
    """Complete the name of a profile."""
    try:
        return [name for name in config.profile_names() if name.startswith(incomplete)]
    except ImagebatchError:
        return []


def operations(ctx: typer.Context, incomplete: str) -> Found:
    """Complete the name of an operation of the server."""

    def named(client: BatchClient) -> Found:
        return [(each.name, one_line(each.description)) for each in client.list_operations()]

    return _beginning(_answer(ctx, named), incomplete)


def parameters(ctx: typer.Context, incomplete: str) -> Found:
    """Complete the name of a parameter of the operation that was typed before it, up to its equals sign."""

    def of_operation(client: BatchClient) -> Found:
        offered = {each.name: each.parameters_schema or {} for each in client.list_operations()}
        properties = offered.get(ctx.params.get("operation") or "", {}).get("properties", {})
        return sorted((f"{name}=", one_line(str(schema.get("description", "")))) for name, schema in properties.items())

    return _beginning(_answer(ctx, of_operation), incomplete)


def batch_ids(ctx: typer.Context, incomplete: str) -> Found:
    """Complete the id of one of the newest batches."""

    def newest(client: BatchClient) -> Found:
        return [
            (batch.batch_id, one_line(f"{batch.operation}, {batch.status}, {batch.total_items} items"))
            for batch in islice(client.list_batches(page_size=_BATCHES), _BATCHES)
        ]

    return _beginning([("latest", "the newest batch"), *_answer(ctx, newest)], incomplete)


def _answer(ctx: typer.Context, question: Callable[[BatchClient], Found]) -> Found:
    """Ask the server quickly. What goes wrong completes nothing: there is nowhere to tell it."""
    try:
        settings = config.settings_typed(ctx.find_root().params)
        with BatchClient(replace(settings, timeout_s=_PATIENCE_S)) as client:
            return question(client)
    except ImagebatchError:
        return []


def _beginning(found: Found, incomplete: str) -> Found:
    return [each for each in found if each[0].startswith(incomplete)]
