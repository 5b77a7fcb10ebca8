"""From global options to a client, and from errors to messages and exit codes."""

from __future__ import annotations

import dataclasses
import sys

import typer

from imagebatch_client.cli import exits
from imagebatch_client.errors import (
    DeadlineExceededError,
    FieldViolation,
    ImagebatchError,
    IncompatibleServerError,
    InvalidRequestError,
    RequestIdReusedError,
    ServerError,
    UnavailableError,
)
from imagebatch_client.sync import BatchClient
from imagebatch_client.transport import ConnectionSettings, settings_from_env

_SERVER_FAULTS = (UnavailableError, DeadlineExceededError, ServerError, IncompatibleServerError)


def chosen_settings(address: str | None, token: str | None) -> ConnectionSettings:
    """The environment's settings, with what the options say instead."""
    chosen = {"address": address, "token": token}
    given = {name: value for name, value in chosen.items() if value is not None}
    return dataclasses.replace(settings_from_env(), **given)  # type: ignore[arg-type]


def connect(ctx: typer.Context) -> BatchClient:
    """A client of the server that the global options name."""
    settings: ConnectionSettings = ctx.find_root().obj
    return BatchClient(settings)


def note(text: str) -> None:
    """Says something to the person; standard output is for results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def report(error: ImagebatchError) -> int:
    """Tells what went wrong, one violation a line, and answers the exit code."""
    note(f"imagebatch: {error}")
    if len(error.violations) > 1:
        for violation in error.violations:
            note(f"  {violation}")
    if isinstance(error, RequestIdReusedError) and "batch_id" in error.metadata:
        note(f"See that batch with: imagebatch status {error.metadata['batch_id']}")
    elif error.request_id and isinstance(error, _SERVER_FAULTS):
        note(f"The batch may have been made. Repeat with --request-id {error.request_id}, and at most one is.")
    return exits.UNREACHABLE if isinstance(error, _SERVER_FAULTS) else exits.REFUSED


def usage_error(option: str, *descriptions: str) -> InvalidRequestError:
    """One or more errors in what was typed, in the form of the server's own."""
    if len(descriptions) == 1:
        return InvalidRequestError.of_field(option, descriptions[0])
    violations = [FieldViolation(option, description) for description in descriptions]
    return InvalidRequestError(f"{option}: {len(violations)} problems", violations=violations)
