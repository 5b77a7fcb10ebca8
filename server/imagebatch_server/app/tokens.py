"""`imagebatch token`: who may call, written to the file that servers read again by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from imagebatch_server.access import access_file
from imagebatch_server.access.access_file import Caller
from imagebatch_server.access.principal import Role
from imagebatch_server.app.options import of_setting, telling
from imagebatch_server.app.settings import Seconds, Settings

token = typer.Typer(
    help="Say who may call a server: make, list and revoke tokens.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_File = Annotated[str | None, of_setting("access_file")]


@token.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who gets it; it stands in the audit log.")],
    tenant: Annotated[str, typer.Option(help="Whose batches and images it opens.")] = "default",
    role: Annotated[
        list[Role] | None, typer.Option(help="reader, writer (default) or operator, who may act for every tenant.")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it counts, such as 12h or 90d.")] = "90d",
    access_file_: _File = None,
) -> None:
    """Make a token and print it, this once: the file keeps its hash alone.

    \b
    Examples:
      imagebatch token create ci --tenant acme --access-file callers.json
      (umask 077; imagebatch token create nightly --role reader --expires 30d > nightly.token)
    """
    with telling("token create"):
        made = access_file.new_token()
        caller = Caller(
            name=name,
            tenant=tenant,
            roles=frozenset(role or [Role.WRITER]),
            expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=_seconds(expires)),
            sha256=access_file.token_sha256(made),
        )
        path = _path(access_file_)
        with access_file.changing(path) as callers:
            if any(each.name == name for each in callers):
                raise ValueError(f"{name!r} is in {path} already; revoke it, or choose another name")
            callers.append(caller)
    typer.echo(made)
    typer.echo(f"{_described(caller)}. It is shown this once; {path} keeps its hash.", err=True)


@token.command("list")
def list_tokens(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
    access_file_: _File = None,
) -> None:
    """List who may call, by tokens and by certificates."""
    with telling("token list"):
        callers = access_file.read(_path(access_file_))
    if as_json:
        for caller in callers:
            typer.echo(caller.model_dump_json(exclude_none=True))
        return
    rows = [("NAME", "TENANT", "ROLES", "EXPIRES", "SHOWS"), *map(_row, callers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@token.command("revoke")
def revoke(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Whose tokens, or certificates.")],
    access_file_: _File = None,
) -> None:
    """Let names call no more. Servers that read the file end their open streams within 30 s."""
    with telling("token revoke"):
        path = _path(access_file_)
        with access_file.changing(path) as callers:
            known = {caller.name for caller in callers}
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"{path} has no {', '.join(unknown)}; see `imagebatch token list`")
            callers[:] = [caller for caller in callers if caller.name not in names]
    typer.echo(f"Revoked: {', '.join(names)}.", err=True)


def _path(given: str | None) -> Path:
    settings = Settings(**({} if given is None else {"access_file": given}))  # type: ignore[arg-type]  # a text, which the settings convert
    if settings.access_file is None:
        raise ValueError("which file? Give --access-file, or set IMAGEBATCH_ACCESS_FILE as for the server")
    return settings.access_file


def _seconds(text: str) -> float:
    seconds = TypeAdapter(Seconds).validate_python(text)
    if seconds <= 0:
        raise ValueError(f"--expires {text} is over at once")
    return seconds


def _described(caller: Caller) -> str:
    return f"{caller.name} is {_roles(caller.roles)} of {caller.tenant} until {_time(caller.expires_at)}"


def _row(caller: Caller) -> tuple[str, str, str, str, str]:
    shows = caller.certificate or f"token {(caller.sha256 or '')[:8]}..."
    return caller.name, caller.tenant, _roles(caller.roles), _time(caller.expires_at), shows


def _roles(roles: frozenset[Role]) -> str:
    return ", ".join(role.value for role in Role if role in roles)


def _time(moment: datetime | None) -> str:
    if moment is None:
        return "never"
    past = " (expired)" if moment <= datetime.now(UTC) else ""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}{past}"
