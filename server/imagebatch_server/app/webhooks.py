"""`imagebatch webhook`: the tenants' secrets, written to the file that servers read again by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from imagebatch_server.app.options import of_setting, telling
from imagebatch_server.app.settings import Settings
from imagebatch_server.webhooks import secrets_file
from imagebatch_server.webhooks.secrets_file import TenantSecret
from imagebatch_server.webhooks.signing import new_secret

BOTH_SIGN_FOR = timedelta(days=1)
"""As long as an attempt may be waited for: until then a receiver may still go by the secret before."""

webhook = typer.Typer(
    help="Say what notifications of ended batches are signed with: make, list and revoke tenants' secrets.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_File = Annotated[str | None, of_setting("webhook_secrets_file")]
_Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose batches it signs for.")]


@webhook.command("create")
def create(tenant: _Tenant, webhook_secrets_file: _File = None) -> None:
    """Make a tenant's secret and print it, for the receiver. One that it had before signs too for another day.

    \b
    Examples:
      imagebatch webhook create acme --webhook-secrets-file webhooks.json
      imagebatch submit photos/ -o describe --notify-url https://hooks.example.com/imagebatch
    """
    now = datetime.now(UTC).replace(microsecond=0)
    with telling("webhook create"):
        made = TenantSecret(tenant=tenant, secret=new_secret(), created_at=now)
        path = _path(webhook_secrets_file)
        with secrets_file.changing(path) as secrets:
            until = now + BOTH_SIGN_FOR
            secrets[:] = [
                each.model_copy(update={"expires_at": until})
                if each.tenant == tenant and each.expires_at is None
                else each
                for each in secrets
                if each.signs(now)
            ]
            had = sum(each.tenant == tenant for each in secrets)
            secrets.append(made)
    typer.echo(made.secret)
    also = f" The one before signs too until {_time(until)}." if had else ""
    typer.echo(f"Notifications of {tenant}'s batches are signed with it from now on.{also}", err=True)


@webhook.command("list")
def list_secrets(webhook_secrets_file: _File = None) -> None:
    """List which tenants have secrets, and since when. The secrets are not shown."""
    with telling("webhook list"):
        secrets = secrets_file.read(_path(webhook_secrets_file))
    for each in sorted(secrets, key=lambda each: (each.tenant, each.created_at)):
        until = "" if each.expires_at is None else f", signs until {_time(each.expires_at)}"
        typer.echo(f"{each.tenant}  made {_time(each.created_at)}{until}")


@webhook.command("revoke")
def revoke(tenant: _Tenant, webhook_secrets_file: _File = None) -> None:
    """Forget all secrets of a tenant: its notifications wait, and no submit may ask for more."""
    with telling("webhook revoke"):
        path = _path(webhook_secrets_file)
        with secrets_file.changing(path) as secrets:
            if not any(each.tenant == tenant for each in secrets):
                raise ValueError(f"{path} has no secret of {tenant}; see `imagebatch webhook list`")
            secrets[:] = [each for each in secrets if each.tenant != tenant]
    typer.echo(f"Revoked: all secrets of {tenant}.", err=True)


def _path(given: str | None) -> Path:
    settings = Settings(**({} if given is None else {"webhook_secrets_file": given}))  # type: ignore[arg-type]  # a text, which the settings convert
    if settings.webhook_secrets_file is None:
        raise ValueError("which file? Give --webhook-secrets-file, or set IMAGEBATCH_WEBHOOK_SECRETS_FILE")
    return settings.webhook_secrets_file


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
