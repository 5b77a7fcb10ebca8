"""What was measured on, and with which versions."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.conftest import postgres_programs

PACKAGES = (
    "imagebatch", "grpcio", "protobuf", "sqlalchemy", "psycopg", "onnxruntime", "celery", "dramatiq", "taskiq",
    "taskiq-redis", "procrastinate", "redis", "hiredis", "ray",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """Rows that were measured on equal ones can be compared."""

    hardware: str
    programs: str
    packages: str


def this_machine() -> Machine:
    """Describe the machine that we are on."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    system = f"{platform.system()} {platform.release()}"
    return Machine(
        hardware=f"{processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB; {system}",
        programs=f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_programs()}",
        packages=", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    )


def processor() -> str:
    """Its name, as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _programs() -> str:
    postgres = postgres_programs()
    commands = [["redis-server", "--version"]]
    if postgres is not None:
        commands.append([str(postgres / "postgres"), "--version"])
    found = []
    for command in commands:
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            continue
        found.append(said.split(" sha=")[0].replace(" server v=", " ").replace("postgres (PostgreSQL)", "PostgreSQL"))
    return ", ".join(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
