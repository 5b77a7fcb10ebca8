"""From global options to a client, and from errors to messages and exit codes."""

from __future__ import annotations

import typer

from imagebatch_client.cli import exits
from imagebatch_client.cli.terminal import note
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
from imagebatch_client.settings import ConnectionSettings
from imagebatch_client.sync import BatchClient
from imagebatch_client.texts import one_line

_SERVER_FAULTS = (UnavailableError, DeadlineExceededError, ServerError, IncompatibleServerError)


class Stopped(Exception):
    """Ctrl-C, with what is to be said of it."""


def settings_of(ctx: typer.Context) -> ConnectionSettings:
    """Answer the settings that the global options gave."""
    settings: ConnectionSettings = ctx.find_root().obj
    return settings


def connect(ctx: typer.Context) -> BatchClient:
    """Make a client of the server that the global options name."""
    return BatchClient(settings_of(ctx))


def report(error: ImagebatchError) -> int:
    """Tells what went wrong, one violation a line, and answers the exit code."""
    note(f"imagebatch: {one_line(str(error))}")
    if len(error.violations) > 1:
        for violation in error.violations:
            note(f"  {one_line(str(violation))}")
    if isinstance(error, RequestIdReusedError) and "batch_id" in error.metadata:
        note(f"See that batch with: imagebatch status {error.metadata['batch_id']}")
    elif error.request_id and isinstance(error, _SERVER_FAULTS):
        note(f"It may have been done all the same. Repeat with --request-id {error.request_id}, and it is done once.")
    return exits.UNREACHABLE if isinstance(error, _SERVER_FAULTS) else exits.REFUSED


def usage_error(option: str, *descriptions: str) -> InvalidRequestError:
    """One or more errors in what was typed, in the form of the server's own."""
    if len(descriptions) == 1:
        return InvalidRequestError.of_field(option, descriptions[0])
    violations = [FieldViolation(option, description) for description in descriptions]
    return InvalidRequestError(f"{option}: {len(violations)} problems", violations=violations)
