"""Options of the server's commands that are settings too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from imagebatch_server.app.settings import Settings, env_name


def of_setting(setting: str) -> typer.models.OptionInfo:
    """Make the option of a setting, described as there. The setting itself reads the environment."""
    field = Settings.model_fields[setting]
    default = "" if field.default is None else f"; default: {field.default}"
    option: typer.models.OptionInfo = typer.Option(
        f"--{setting.replace('_', '-')}", help=f"{field.description} ({env_name(setting)}{default})", show_default=False
    )
    return option


@contextmanager
def telling(command: str) -> Iterator[None]:
    """Tell what was wrong with what was typed (exit code 2), or with a file (1)."""
    try:
        yield
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        typer.echo(f"imagebatch {command}: {'; '.join(problems)}", err=True)
        raise typer.Exit(2) from error
    except (OSError, ValueError, OverflowError) as error:
        typer.echo(f"imagebatch {command}: {error}", err=True)
        raise typer.Exit(1) from error
