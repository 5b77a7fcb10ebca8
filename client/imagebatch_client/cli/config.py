"""Which server is meant, and as whom: by options, the environment and profiles, which have a name in a file."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.terminal import note
from imagebatch_client.settings import PREFIX, SWITCHES, TEXTS, ConnectionSettings, settings_from_env

_KEYS: Final[dict[str, type]] = dict.fromkeys(TEXTS, str) | dict.fromkeys(SWITCHES, bool)
_PATHS: Final = ("token_file", "tls_ca", "tls_client_certificate", "tls_client_key")
_TOKENS: Final = {f"{PREFIX}TOKEN", f"{PREFIX}TOKEN_FILE"}
_UNNAMED: Final = "default"


def settings_typed(options: Mapping[str, Any]) -> ConnectionSettings:
    """Take what the options say, else the environment, else the profile.

    A profile that is named among the options comes before the environment, whose variables only fill its gaps. A token
    or a token's file takes the place of both below it.
    """
    named = options.get("profile")
    of_profile = _as_environment(profile(named))
    of_environment = {name: value for name, value in os.environ.items() if value}
    layers = [of_environment, of_profile] if named else [of_profile, of_environment]
    environ: dict[str, str] = {}
    for layer in (*layers, _as_environment({key: options.get(key) for key in _KEYS})):
        if layer.keys() & _TOKENS:
            environ = {name: value for name, value in environ.items() if name not in _TOKENS}
        environ |= layer
    return settings_from_env(environ)


def _as_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{PREFIX}{key.upper()}": str(int(value) if isinstance(value, bool) else value)
        for key, value in settings.items()
        if value is not None
    }


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """IMAGEBATCH_CONFIG, else imagebatch/config.toml where this user's settings are."""
    if given := environ.get("IMAGEBATCH_CONFIG"):
        return Path(given)
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "imagebatch" / "config.toml"


def profile_names() -> list[str]:
    """List the profiles that there are. Raises InvalidRequestError for a file that can't be read."""
    return sorted(_profiles(config_path()))


def profile(name: str | None, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Read a profile's settings: the named one, else IMAGEBATCH_PROFILE's, else `default`, which may be missing.

    Its paths are taken from the file's own folder. Raises InvalidRequestError for a profile that the file doesn't have,
    and for what is wrong in it.
    """
    name = name or environ.get("IMAGEBATCH_PROFILE") or None
    path = config_path(environ)
    profiles = _profiles(path)
    if name is None:
        chosen = profiles.get(_UNNAMED, {})
    elif name in profiles:
        chosen = profiles[name]
    else:
        there = f"has {', '.join(sorted(profiles))}" if profiles else "has none"
        raise usage_error("--profile", f"{name!r} is no profile; {path} {there}")
    checked = _checked(chosen, f"{path}: profiles.{name or _UNNAMED}")
    return checked | {key: str(path.parent / Path(checked[key]).expanduser()) for key in _PATHS if checked.get(key)}


def _profiles(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            read = tomllib.load(file)
            others_may_read = os.fstat(file.fileno()).st_mode & (stat.S_IRGRP | stat.S_IROTH)
    except FileNotFoundError as error:
        if os.environ.get("IMAGEBATCH_CONFIG"):  # somebody means a file that isn't there
            raise usage_error("IMAGEBATCH_CONFIG", f"{path} does not exist") from error
        return {}
    except OSError as error:
        raise usage_error("config", f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage_error("config", f"{path} is no TOML: {error}") from error
    profiles = read.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(each, dict) for each in profiles.values()):
        raise usage_error("config", f"{path}: write each profile as a table, [profiles.NAME]")
    if others_may_read and any("token" in each for each in profiles.values()):
        note(f"imagebatch: {path} holds a token and others can read it; run: chmod 600 {path}")
    return profiles


def _checked(chosen: dict[str, Any], where: str) -> dict[str, Any]:
    for key, value in chosen.items():
        if key not in _KEYS:
            close = get_close_matches(key, _KEYS, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"there are {', '.join(_KEYS)}"
            raise usage_error("config", f"{where}.{key} is unknown; {remedy}")
        if not isinstance(value, _KEYS[key]):
            raise usage_error("config", f"{where}.{key} is {type(value).__name__}; give a {_KEYS[key].__name__}")
    return chosen
