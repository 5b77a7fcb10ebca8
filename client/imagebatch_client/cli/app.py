"""The application: its global options, its verbs, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from imagebatch_client.cli import exits, plugins
from imagebatch_client.cli.batches import cancel, delete, list_batches, retry, status
from imagebatch_client.cli.connection import chosen_settings, report
from imagebatch_client.cli.images import download, upload
from imagebatch_client.cli.operations import operations
from imagebatch_client.cli.results import results
from imagebatch_client.cli.submit import submit
from imagebatch_client.cli.watch import watch
from imagebatch_client.errors import ImagebatchError
from imagebatch_client.transport import DEFAULT_ADDRESS

_GLOBAL_OPTIONS = ("--address", "--token")


def global_options_first(arguments: Sequence[str], verbs_left_alone: Collection[str]) -> list[str]:
    """Moves global options that were typed after the verb before it; verbs of other packages may have their own."""
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument in verbs_left_alone and not rest:
            return [*first, argument, *waiting]
        if argument == "--":
            return [*first, *rest, argument, *waiting]
        if argument in _GLOBAL_OPTIONS:
            first += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        elif argument.startswith(tuple(f"{option}=" for option in _GLOBAL_OPTIONS)):
            first.append(argument)
        else:
            rest.append(argument)
    return [*first, *rest]


class Verbs(TyperGroup):
    """Takes global options anywhere, and turns errors of the library into messages and exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, global_options_first(args, plugins.plugged_in()))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ImagebatchError as error:
            raise typer.Exit(report(error)) from error


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"imagebatch {version('imagebatch')}\n")
        raise typer.Exit


def connection(
    ctx: typer.Context,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"The server (IMAGEBATCH_ADDRESS; default: {DEFAULT_ADDRESS})."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="The caller's token (IMAGEBATCH_TOKEN, which hides it better).")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run image operations over batches of images, watch each one finish, and read the results.

    \b
    A first batch, with a server on this machine:
      imagebatch serve &
      imagebatch submit photos/ --operation describe --watch

    Results go to standard output, all other words to standard error. TLS: set IMAGEBATCH_TLS=1, or IMAGEBATCH_TLS_CA to
    the PEM file of the server's authority. `imagebatch VERB --help` tells more, with examples.
    """
    ctx.obj = chosen_settings(address, token)


app = typer.Typer(
    cls=Verbs,
    callback=connection,
    epilog=exits.HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_VERBS: dict[str, Callable[..., None]] = {
    "submit": submit,
    "watch": watch,
    "status": status,
    "results": results,
    "list": list_batches,
    "cancel": cancel,
    "retry": retry,
    "delete": delete,
    "operations": operations,
    "upload": upload,
    "download": download,
}
for _name, _verb in _VERBS.items():
    app.command(_name)(_verb)
plugins.add_to(app)
