"""Options of the server's commands that are settings too."""

from __future__ import annotations

import typer

from imagebatch_server.app.settings import Settings, env_name


def of_setting(setting: str) -> typer.models.OptionInfo:
    """Make the option of a setting, described as there. The setting itself reads the environment."""
    field = Settings.model_fields[setting]
    default = "" if field.default is None else f"; default: {field.default}"
    option: typer.models.OptionInfo = typer.Option(
        f"--{setting.replace('_', '-')}", help=f"{field.description} ({env_name(setting)}{default})", show_default=False
    )
    return option
