"""The `imagebatch` command: checks that its own dependencies are there before it needs them."""

from __future__ import annotations

import importlib.util
import os
import sys

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line with this process's arguments."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"imagebatch: the command line needs {' and '.join(missing)}; "
            "install with: pip install 'imagebatch-client[cli]'\n"
        )
        sys.exit(2)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # File names and texts found in pictures may hold what the terminal's encoding can't show.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a TextIOWrapper at the start

    from imagebatch_client.cli.app import app

    app(prog_name="imagebatch")


def _open_closed_streams() -> None:
    """Fill closed descriptors, which a connection would take otherwise, so that results lost are told."""
    for descriptor, name, mode in ((0, "stdin", os.O_WRONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, mode)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            if name != "stdin":
                setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))
