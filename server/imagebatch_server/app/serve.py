"""`imagebatch serve`: runs a server until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from importlib.metadata import version
from typing import Annotated, Any

import structlog
import typer
from pydantic import ValidationError

from imagebatch_server.app import logs
from imagebatch_server.app.build import Server
from imagebatch_server.app.last_resort import LastResort
from imagebatch_server.app.memory import reserve_little
from imagebatch_server.app.settings import Named, Settings, env_name, named, settings_with, unknown_variables
from imagebatch_server.batches.errors import CannotStart, SettingsClash, StoreUnavailable
from imagebatch_server.executors.attempts.worker_pool import WorkersCannotStart
from imagebatch_server.operations.registry import DuplicateOperation, installed_settings
from imagebatch_server.threads import started

log = structlog.get_logger(__name__)

_NEW_OBJECTS_A_COLLECTION = 10_000
"""Python's 700 are made by a few dozen items, none of which leave cycles behind."""

SETTINGS = settings_with(installed_settings())
"""The server's own, and those of the operations that are installed."""

CLOSING_S = 5.0
"""How much longer than its grace a server may take to end."""

_OTHER_THREADS = 4
"""For what asyncio itself does in threads."""

STARTING_ERRORS = (
    CannotStart, StoreUnavailable, DuplicateOperation, WorkersCannotStart, OSError,
)  # fmt: skip
"""What the operator can mend; anything else is a defect and shows its traceback."""


def serve(**flags: str | None) -> None:
    """Run an Imagebatch server until SIGTERM or Ctrl-C.

    Everything it needs is made in the data folder. Each option can also be given as an environment variable.
    """
    if unknown := unknown_variables(SETTINGS):
        typer.echo("\n".join(unknown), err=True)
        raise typer.Exit(2)
    try:
        settings = SETTINGS(**_by_section(flags))
    except ValidationError as error:
        for problem in error.errors():
            if problem["type"] == "default_factory_not_called":
                continue  # what follows from another value, which is told of itself
            depth = 2 if problem["loc"][0] in SETTINGS.sections else 1
            name = "_".join(str(part) for part in problem["loc"][:depth])
            typer.echo(
                f"--{name.replace('_', '-')} ({env_name(name)}): {problem['msg'].removeprefix('Value error, ')}",
                err=True,
            )
        raise typer.Exit(2) from error
    logs.configure(settings.log_format, settings.log_level)
    os.umask(0o077)  # what callers sent is nobody else's to read
    try:
        asyncio.run(_serve(settings))
    except STARTING_ERRORS as error:
        typer.echo(f"imagebatch serve: {_with_options(str(error), settings)}", err=True)
        raise typer.Exit(2 if isinstance(error, SettingsClash) else 1) from error


def _with_options(message: str, settings: Settings) -> str:
    """Put before a message about files, which begins with their paths, the options that name them."""
    paths = message.partition(": ")[0].split(", ")
    options = [f"--{name.replace('_', '-')}" for name, value in settings if str(value) in paths]
    return f"{', '.join(options)}: {message}" if options else message


async def _serve(settings: Settings) -> None:
    reserve_little()
    server = Server(settings)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(started(_OTHER_THREADS, "other"))
    last_resort = LastResort(settings.stop_grace_s + CLOSING_S)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, told, last_resort)
    address = await _unless(told, server.start())
    if address is None:
        log.info("server.stopped")
        return
    gc.freeze()  # what was imported and built stays for good: no collection need walk it again
    gc.set_threshold(_NEW_OBJECTS_A_COLLECTION, *gc.get_threshold()[1:])
    _say_listening(settings, address, server.page_url)
    await told.wait()
    await server.stop()
    log.info("server.stopped")


def _say_listening(settings: Settings, address: str, page_url: str | None) -> None:
    """Tell whoever started the server that it is ready, on standard output."""
    page = "" if page_url is None else f", page at {page_url}"
    line = f"imagebatch {version('imagebatch')} listening on {address}{page}, data in {settings.data_dir}"
    if settings.log_format == "json":
        line = json.dumps({"event": "server.listening", "message": line, "address": address, "level": "info"})
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:  # closed or full: whom it would tell is not there, and the server runs on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(told: asyncio.Event, last_resort: LastResort) -> None:
    """Begin to stop, which ends within the grace and `CLOSING_S` whatever hangs."""
    last_resort.begin()
    told.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)  # a second one ends the process at once
    log.info("server.stopping", within_s=last_resort.after_s)


async def _unless(told: asyncio.Event, starting: Coroutine[Any, Any, str]) -> str | None:
    """Start, and answer the address; None if the server was told to stop before it was up, and was closed."""
    start, stop = asyncio.create_task(starting), asyncio.create_task(told.wait())
    await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not start.done():
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        return None
    return start.result()


def _by_section(flags: Mapping[str, str | None]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for one in named(SETTINGS):
        value = flags.get(one.name)
        if value is not None and one.section is not None:
            given.setdefault(one.section, {})[one.name.removeprefix(f"{one.section}_")] = value
        elif value is not None:
            given[one.name] = value
    return given


def _flag(one: Named) -> inspect.Parameter:
    shown = f"; default: {one.default}" if one.default else ""
    # Settings reads the variable itself: typer is only to show its name.
    text = f"{one.description} ({one.variable}{shown})"
    flag = f"--{one.name.replace('_', '-')}"
    names = [flag, f"--no-{flag[2:]}"] if one.is_switch else [flag]  # the second for what the environment says
    option = typer.Option(*([f"{names[0]}/{names[1]}"] if one.is_switch else names), help=text, show_default=False)
    kind: Any = Annotated[bool | None, option] if one.is_switch else Annotated[str | None, option]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


# One option a setting, made from the settings themselves so that neither can lack what the other has.
serve.__signature__ = inspect.Signature([_flag(one) for one in named(SETTINGS)])  # type: ignore[attr-defined]  # inspect reads it
