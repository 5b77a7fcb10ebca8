"""What is wrong with what was typed, told so that it can't drive the terminal: the message repeats what was typed."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final, cast

import typer

from imagebatch_client.cli.terminal import note

# Typer has click's classes, its own copies of them or click's itself by its version, and names this one alone.
_UsageError: Final = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])

_ABORTED: Final = 1


def run(main: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """Call a command's `main` and answer the exit code. Tells wrong usage on standard error."""
    try:
        code = main(*arguments, **options | {"standalone_mode": False})
    except _UsageError as error:
        told = io.StringIO()
        error.show(told)
        note(told.getvalue().rstrip("\n"))
        return error.exit_code
    except typer.Abort:
        note("Aborted.")
        return _ABORTED
    return code if isinstance(code, int) else 0
