"""`imagebatch serve`: runs a server until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import sys
from importlib.metadata import version
from typing import Annotated, Any

import structlog
import typer
from pydantic import ValidationError

from imagebatch_server.app import logs
from imagebatch_server.app.build import Server, UnknownWarmOperation
from imagebatch_server.app.folder import FolderInUse
from imagebatch_server.app.settings import Settings, env_name
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.executors.pool import WorkersCannotStart
from imagebatch_server.operations.registry import DuplicateOperation
from imagebatch_server.store.migrate import SchemaTooNew

log = structlog.get_logger(__name__)

_NEW_OBJECTS_A_COLLECTION = 10_000
"""Python's 700 are made by a few dozen items, none of which leave cycles behind."""

STARTING_ERRORS = (
    FolderInUse, SchemaTooNew, StoreUnavailable, DuplicateOperation, UnknownWarmOperation, WorkersCannotStart, OSError,
)  # fmt: skip
"""What the operator can mend; anything else is a defect and shows its traceback."""


def serve(**flags: str | None) -> None:
    """Run an Imagebatch server until SIGTERM or Ctrl-C.

    Everything it needs is made in the data folder. Each option can also be given as an environment variable.
    """
    try:
        given = {name: value for name, value in flags.items() if value is not None}
        settings = Settings(**given)  # type: ignore[arg-type]  # texts, which the settings convert
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0])
            typer.echo(
                f"--{name.replace('_', '-')} ({env_name(name)}): {problem['msg'].removeprefix('Value error, ')}",
                err=True,
            )
        raise typer.Exit(2) from error
    logs.configure(settings.log_format, settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except STARTING_ERRORS as error:
        typer.echo(f"imagebatch serve: {error}", err=True)
        raise typer.Exit(1) from error


async def _serve(settings: Settings) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    server = Server(settings)
    address = await server.start()
    gc.freeze()  # what was imported and built stays for good: no collection need walk it again
    gc.set_threshold(_NEW_OBJECTS_A_COLLECTION, *gc.get_threshold()[1:])
    typer.echo(f"imagebatch {version('imagebatch')} listening on {address}, data in {settings.data_dir}")
    sys.stdout.flush()
    await told.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # a second one ends the process at once; nothing is lost by that
    log.info("stopping", grace_s=settings.stop_grace_s)
    await server.stop()
    log.info("stopped")


def _flag(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    default = field.get_default()
    shown = "" if default in (None, ()) else f"; default: {default}"
    # Settings reads the variable itself: typer is only to show its name.
    text = f"{field.description} ({env_name(name)}{shown})"
    option = typer.Option(f"--{name.replace('_', '-')}", help=text, show_default=False)
    kind: Any = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


# One option a setting, made from the settings themselves so that neither can lack what the other has.
serve.__signature__ = inspect.Signature([_flag(name) for name in Settings.model_fields])  # type: ignore[attr-defined]  # inspect reads it
