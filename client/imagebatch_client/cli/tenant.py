"""`imagebatch tenant`: what operators do with tenants."""

from __future__ import annotations

from typing import Annotated

import typer

from imagebatch_client.cli import options
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import note

tenant: typer.Typer = typer.Typer(
    help="Look after tenants; for operators.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


@tenant.callback()
def _tenants() -> None:
    """Look after tenants; for operators."""


@tenant.command()
def delete(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")],
    is_sure: options.IsSure = False,
) -> None:
    """Delete a tenant whole: its batches, results, images and usage. It asks first.

    All of it is hidden at once, and removed soon after.

    \b
    Example:
      imagebatch tenant delete cats
    """
    if not is_sure and not options.agreed(f"Delete all that tenant {name!r} has?", f"to delete all that {name!r} has"):
        return
    with connect(ctx) as client:
        client.delete_tenant(name)
    note(f"Deleted tenant {name}.")
