"""The `imagebatch` command: checks that its own dependencies are there before it needs them."""

from __future__ import annotations

import importlib.util
import sys

_NEEDED = ("typer", "rich")


def main() -> None:
    """Runs the command line with this process's arguments."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"imagebatch: the command line needs {' and '.join(missing)}; install with: pip install 'imagebatch[cli]'\n"
        )
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        # File names and texts found in pictures may hold what the terminal's encoding can't show.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]

    from imagebatch_client.cli.app import app

    app(prog_name="imagebatch")
