"""Verbs that other packages bring by the entry-point group `imagebatch.commands`, such as `serve`.

Their code is loaded when the verb is run: `imagebatch --help` stays fast, and an install of the client alone works.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer
import typer.main

from imagebatch_client.cli import exits, wrong_usage
from imagebatch_client.cli.terminal import note

GROUP: Final = "imagebatch.commands"

# Read from here for `imagebatch --help`: the verb's own text would need its code, which may not be installed.
_OF_THE_SERVER = {
    "demo": "Start a server, describe real photographs, and stop. Needs the package imagebatch.",
    "health": "Ask the server of this machine whether it takes work. Needs the package imagebatch.",
    "serve": "Run an Imagebatch server on this machine. Needs the package imagebatch.",
    "store": "Look after a stopped server's database and images. Needs the package imagebatch.",
    "token": "Say who may call a server: make, list and revoke tokens. Needs the package imagebatch.",
    "webhook": "Make the secrets that notifications are signed with. Needs the package imagebatch.",
}


def plugged_in() -> dict[str, EntryPoint]:
    """Find the verbs that installed packages bring, by name."""
    return {entry_point.name: entry_point for entry_point in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def add_to(app: typer.Typer) -> None:
    """Add a verb for each entry point, which hands all of its arguments on to the verb's own command.

    The server's verbs are there without the server too, and say what to install.
    """
    everything = {"ignore_unknown_options": True, "allow_extra_args": True}
    found = plugged_in()
    for name in sorted({*found, *_OF_THE_SERVER}):
        run = _handing_on(found[name]) if name in found else _missing(name)
        summary = _OF_THE_SERVER[name] if name in _OF_THE_SERVER else f"Comes from {found[name].module}."
        app.command(name, help=summary, add_help_option=False, context_settings=everything)(run)


def _missing(name: str) -> Callable[[typer.Context], None]:
    def run(ctx: typer.Context) -> None:
        note(f"imagebatch {name} needs the server; install with: pip install imagebatch")
        raise typer.Exit(exits.REFUSED)

    return run


def _handing_on(entry_point: EntryPoint) -> Callable[[typer.Context], None]:
    def run(ctx: typer.Context) -> None:
        try:
            gc.disable()  # a server's modules leave no rubbish, and looking for it took a sixth of loading them
            function = entry_point.load()
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0].startswith("imagebatch"):
                raise  # a defect of ours rather than a package that is not installed
            brought_by = entry_point.dist.name if entry_point.dist else entry_point.module
            note(
                f"imagebatch {entry_point.name} needs the module {error.name}, which is not installed; "
                f"repair {brought_by} with: pip install --force-reinstall {brought_by}"
            )
            raise typer.Exit(exits.REFUSED) from error
        finally:
            gc.enable()
        if isinstance(function, typer.Typer):
            command = function
        else:
            command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            command.command(entry_point.name)(function)
        main = typer.main.get_command(command).main
        raise typer.Exit(wrong_usage.run(main, ctx.args, prog_name=f"imagebatch {entry_point.name}"))

    return run
