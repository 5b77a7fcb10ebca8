"""The application: its global options, its verbs, and what becomes of errors."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from imagebatch_client.cli import completion, config, exits, plugins, wrong_usage
from imagebatch_client.cli.cancel import cancel
from imagebatch_client.cli.connection import Stopped, report
from imagebatch_client.cli.delete import delete
from imagebatch_client.cli.download import download
from imagebatch_client.cli.export import export
from imagebatch_client.cli.failures import failures
from imagebatch_client.cli.info import info
from imagebatch_client.cli.list import list_batches
from imagebatch_client.cli.operations import operations
from imagebatch_client.cli.pause import pause
from imagebatch_client.cli.results import results
from imagebatch_client.cli.resume import resume
from imagebatch_client.cli.retry import retry
from imagebatch_client.cli.status import status
from imagebatch_client.cli.submit import submit
from imagebatch_client.cli.tenant import tenant
from imagebatch_client.cli.terminal import discard, note, put
from imagebatch_client.cli.update import update
from imagebatch_client.cli.upload import upload
from imagebatch_client.cli.usage import usage
from imagebatch_client.cli.wait import wait
from imagebatch_client.cli.waits import Waits
from imagebatch_client.cli.watch import watch
from imagebatch_client.errors import ImagebatchError
from imagebatch_client.settings import DEFAULT_ADDRESS

_WITH_VALUE = (
    "--address",
    "--profile",
    "--tenant",
    "--tls-ca",
    "--tls-client-certificate",
    "--tls-client-key",
    "--tls-server-name",
    "--token",
    "--token-file",
)
_SWITCHES = ("--insecure-plaintext", "--no-tls", "--tls")


def global_options_first(arguments: Sequence[str], verbs_left_alone: Collection[str]) -> list[str]:
    """Move global options that were typed after the verb before it; verbs of other packages may have their own."""
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument in verbs_left_alone and not rest:
            return [*first, argument, *waiting]
        if argument == "--":
            return [*first, *rest, argument, *waiting]
        if argument in _WITH_VALUE:
            first += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        elif argument in _SWITCHES or argument.startswith(tuple(f"{option}=" for option in _WITH_VALUE)):
            first.append(argument)
        else:
            rest.append(argument)
    return [*first, *rest]


class Verbs(TyperGroup):
    """Take global options anywhere, and turn errors of the library into messages and exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, global_options_first(args, plugins.plugged_in()))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ImagebatchError as error:
            raise typer.Exit(report(error)) from error
        except Stopped as stopped:
            note(str(stopped))
            raise typer.Exit(exits.INTERRUPTED) from stopped
        except KeyboardInterrupt as interrupt:
            note("Stopped.")
            raise typer.Exit(exits.INTERRUPTED) from interrupt

    def main(self, *args: Any, **kwargs: Any) -> Any:
        logging.getLogger("imagebatch_client").addHandler(Waits())
        try:
            try:
                code = wrong_usage.run(super().main, *args, **kwargs)
            finally:
                sys.stdout.flush()
            sys.exit(code)
        except OSError as error:
            if error.filename is not None:
                raise  # of a file that a verb should have told of, not of the output
            sys.exit(_output_failed(error))


def _output_failed(error: OSError) -> int:
    discard(sys.stdout)
    if error.errno != errno.EPIPE:  # a reader that left has seen what it wanted
        note(f"imagebatch: standard output can't be written: {error.strerror}")
    return exits.OUTPUT_FAILED


def _print_version(wanted: bool) -> None:
    if wanted:
        put(f"imagebatch {version('imagebatch-client')}")
        raise typer.Exit


def connection(
    ctx: typer.Context,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help=f"The server. Default: {DEFAULT_ADDRESS}.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="The caller's token; the variable hides it better.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file that holds the token, read anew when it changes.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="For operators: the tenant that they act for.")
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="Encrypt; implied by the options below.")] = None,
    tls_ca: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="PEM of the authority of the server's certificate. Default: public ones."),
    ] = None,
    tls_client_certificate: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="PEM of the caller's certificate, if the server asks for one."),
    ] = None,
    tls_client_key: Annotated[str | None, typer.Option(metavar="FILE", help="PEM of its key.")] = None,
    tls_server_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name in the server's certificate, if not the address's.")
    ] = None,
    insecure_plaintext: Annotated[
        bool | None,
        typer.Option("--insecure-plaintext", help="Send a token in plain text: the network is trusted."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A server by its name in the file of profiles (IMAGEBATCH_PROFILE).",
            autocompletion=completion.profiles,
        ),
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

    Results go to standard output, all other words to standard error. `imagebatch VERB --help` tells more, with
    examples. The options below may stand behind a verb too, and each is also a variable: IMAGEBATCH_TLS_CA for --tls-ca
    (IMAGEBATCH_TLS is 1 or 0).

    Options come first, then the profile that --profile names, then the environment, then the profile that
    IMAGEBATCH_PROFILE names, or `default`.

    \b
    Profiles stand in ~/.config/imagebatch/config.toml, or where IMAGEBATCH_CONFIG says;
    `default` needs no name:
      [profiles.default]
      address = "images.example:443"
      tls = true
      token_file = "token"
    """
    if ctx.invoked_subcommand not in plugins.plugged_in():
        ctx.obj = config.settings_typed(ctx.params)


app: typer.Typer = typer.Typer(
    cls=Verbs,
    callback=connection,
    epilog=exits.HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_VERBS: dict[str, Callable[..., None]] = {
    "submit": submit,
    "watch": watch,
    "wait": wait,
    "status": status,
    "results": results,
    "failures": failures,
    "list": list_batches,
    "pause": pause,
    "resume": resume,
    "update": update,
    "cancel": cancel,
    "retry": retry,
    "delete": delete,
    "operations": operations,
    "upload": upload,
    "download": download,
    "export": export,
    "info": info,
    "usage": usage,
}
for _name, _verb in _VERBS.items():
    app.command(_name)(_verb)
app.add_typer(tenant, name="tenant")
plugins.add_to(app)
