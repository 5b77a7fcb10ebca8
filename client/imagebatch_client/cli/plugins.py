"""Verbs that other packages bring by the entry-point group `imagebatch.commands`, such as `serve`.

Their code is loaded when the verb is run: `imagebatch --help` stays fast, and an install of the client alone works.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

from imagebatch_client.cli import exits
from imagebatch_client.cli.connection import note

GROUP: Final = "imagebatch.commands"

# Read from here for `imagebatch --help`, where the verb's own text would need its code.
_SUMMARIES = {
    "demo": "Start a server, describe real photographs, and stop. Needs imagebatch[server].",
    "serve": "Run an Imagebatch server on this machine. Needs imagebatch[server].",
}


def plugged_in() -> dict[str, EntryPoint]:
    """The verbs that installed packages bring, by name."""
    return {entry_point.name: entry_point for entry_point in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def add_to(app: typer.Typer) -> None:
    """Adds a verb for each entry point, which hands all of its arguments on to the verb's own command."""
    everything = {"ignore_unknown_options": True, "allow_extra_args": True}
    for name, entry_point in plugged_in().items():
        summary = _SUMMARIES.get(name, f"Comes from {entry_point.module}.")
        app.command(name, help=summary, add_help_option=False, context_settings=everything)(_handing_on(entry_point))


def _handing_on(entry_point: EntryPoint) -> Callable[[typer.Context], None]:
    def run(ctx: typer.Context) -> None:
        try:
            function = entry_point.load()
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0].startswith("imagebatch"):
                raise  # a defect of ours rather than a package that is not installed
            note(f"imagebatch {entry_point.name} needs {error.name}; install with: pip install 'imagebatch[server]'")
            raise typer.Exit(exits.REFUSED) from error
        command = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        command.command(entry_point.name)(function)
        command(args=ctx.args, prog_name=f"imagebatch {entry_point.name}")

    return run
