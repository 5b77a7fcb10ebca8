"""The command line in a process of its own, as from a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.client.scripted import ScriptedServer
from typer.testing import CliRunner

from imagebatch_client.cli.app import app

# As from a terminal: whoever runs the tests in the background has SIGINT ignored, and children inherit it.
_AS_IN_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{_AS_IN_A_TERMINAL}; from imagebatch_command import main; main()"]


def environment(server: ScriptedServer | None = None, **more: str) -> dict[str, str]:
    """Buffered, as pipes are: a line is seen only once the program has written it on purpose."""
    address = {} if server is None else {"IMAGEBATCH_ADDRESS": server.address}
    return os.environ | {"TERM": "xterm", "PYTHONUNBUFFERED": "", "IMAGEBATCH_CONFIG": os.devnull} | address | more


def started(server: ScriptedServer, *arguments: str | Path, **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *map(str, arguments)], env=environment(server), **streams)


def run(server: ScriptedServer, *arguments: str | Path, stdin: str | None = None) -> Any:
    """In this process, which is faster; there is no terminal and there are no signals."""
    return CliRunner().invoke(app, ["--address", server.address, *map(str, arguments)], input=stdin)


def all_shown(terminal: int) -> bytes:
    """Read what a terminal is sent until its other end is closed, and close it."""
    shown = b""
    try:
        while chunk := os.read(terminal, 65536):
            shown += chunk
    except OSError:
        pass  # how a terminal whose other end was closed says so
    os.close(terminal)
    return shown


def interrupted(process: subprocess.Popen[bytes]) -> str:
    """Answer what it says after Ctrl-C, of which it must end soon, with the code for it."""
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    return stderr.decode()
