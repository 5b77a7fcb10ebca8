"""What examples set: known to the server, and safe on a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebatch_server.app.serve import SETTINGS
from imagebatch_server.app.settings import unknown_variables

PREFIX = "IMAGEBATCH_"
STOP_S = SETTINGS().stop_grace_s + 5
"""Within which a server ends: its grace, and what closing takes."""


def check(environment: Mapping[str, str]) -> None:
    """Fail for a setting that the server does not know or take, and for what leaves an address open."""
    assert not unknown_variables(SETTINGS, environment)
    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
    }
    SETTINGS(**values)
    assert {"tls_certificate", "tls_key", "access_file"} <= values.keys()
    assert not [name for name in values if name.startswith("insecure")]
