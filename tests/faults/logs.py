"""What a server's log must not hold."""

from __future__ import annotations

from tests.server import ServerProcess

SHOWN = 2_000


def tracebacks(server: ServerProcess) -> list[str]:
    """The lines that show a traceback: each one is a defect, or an error that nobody put into words."""
    return [_clipped(line) for line in server.log.splitlines() if "Traceback" in line]


def _clipped(line: str) -> str:
    return line if len(line) <= SHOWN else f"{line[: SHOWN // 2]} ... {line[-SHOWN // 2 :]}"
