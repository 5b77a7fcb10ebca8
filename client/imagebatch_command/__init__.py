"""The `imagebatch` command, up to where the command line is imported.

A package of its own, because the package `imagebatch_client` imports gRPC, which takes a while, and reads its variables
from the environment then.
"""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line with this process's arguments."""
    # What gRPC writes to standard error by itself, the command line says better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from imagebatch_client.cli.main import main as run

        run()
    except KeyboardInterrupt:  # before there was anything to be stopped
        sys.stderr.write("Stopped.\n")
        sys.exit(_INTERRUPTED)
