"""What a server's log must hold, and what it must not."""

from __future__ import annotations

from tests.integration.server.calls import eventually
from tests.server import ServerProcess

SHOWN = 2_000


def tracebacks(server: ServerProcess) -> list[str]:
    """Find the lines that show a traceback: each is a defect, or an error that nobody put into words."""
    return [_clipped(line) for line in server.log.splitlines() if "Traceback" in line]


def wait_for(server: ServerProcess, event: str) -> None:
    """Wait until a server has logged an event."""
    eventually(lambda: f'"{event}"' in server.log)


def _clipped(line: str) -> str:
    return line if len(line) <= SHOWN else f"{line[: SHOWN // 2]} ... {line[-SHOWN // 2 :]}"
