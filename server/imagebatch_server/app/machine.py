"""What of the machine this process may use: a container's share of it, where there is one.

Processors are limited by affinity (`taskset`, cpusets) and by a quota of the control group, memory by the control group
alone. Both versions of control groups are read, along the whole path: each level above a process limits it too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED_BYTES = 1 << 62
"""Version 1 writes no word for `no limit` but a number near 2^63."""


@dataclass(frozen=True)
class Share:
    """How much this process may use."""

    processors: int
    """At least 1. A quota of 1.5 processors counts as 2: one worker would leave a third of it idle."""
    memory_bytes: int | None
    """None where it can't be told."""


def share_of_machine(root: Path = Path("/")) -> Share:
    """Read it from the system, whose files lie below `root`."""
    groups = list(_control_groups(root))
    quotas = [quota for group in groups if (quota := group.processors()) is not None]
    limits = [limit for group in groups if (limit := group.memory_bytes()) is not None]
    return Share(
        processors=max(1, math.ceil(min([_processors_by_affinity(), *quotas]))),
        memory_bytes=min([*_memory_of_machine(root), *limits], default=None),
    )


@dataclass(frozen=True)
class _ControlGroup:
    folder: Path

    def processors(self) -> float | None:
        """Read the quota, in processors; None without one."""
        both = self._read("cpu.max") or " ".join(
            filter(None, (self._read("cpu.cfs_quota_us"), self._read("cpu.cfs_period_us")))
        )
        with suppress(ValueError):
            quota_us, period_us = (int(part) for part in both.split())
            return quota_us / period_us if quota_us > 0 and period_us > 0 else None
        return None  # no file, or `max 100000`

    def memory_bytes(self) -> int | None:
        """Read the limit; None without one."""
        written = self._read("memory.max") or self._read("memory.limit_in_bytes")
        return int(written) if written.isdecimal() and 0 < int(written) < _UNLIMITED_BYTES else None

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""


def _control_groups(root: Path) -> Iterator[_ControlGroup]:
    """Find the groups of this process that limit it, in each hierarchy up to where that is mounted."""
    paths = dict(_paths_by_controller(root))
    for mounted_at, mounted, controllers in _hierarchies(root):
        for controller in controllers & paths.keys():
            path = paths[controller]
            # Where the container's own root is mounted, the path that the kernel gives may begin above it.
            is_below = path.is_relative_to(mounted) and ".." not in path.parts
            below = path.relative_to(mounted) if is_below else PurePosixPath()
            top = root / mounted_at.relative_to("/")
            for depth in range(len(below.parts) + 1):
                yield _ControlGroup(top.joinpath(*below.parts[:depth]))


def _paths_by_controller(root: Path) -> Iterator[tuple[str, PurePosixPath]]:
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if number != "0" else ["cgroup2"]:
            yield controller, PurePosixPath(path)


def _hierarchies(root: Path) -> Iterator[tuple[PurePosixPath, PurePosixPath, set[str]]]:
    """Find where hierarchies are mounted, what part of each, and which controllers it has."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        mounted, mounted_at = (PurePosixPath(part) for part in before.split(" ")[3:5])
        if kind == "cgroup2":
            yield mounted_at, mounted, {"cgroup2"}
        elif kind == "cgroup":
            yield mounted_at, mounted, {"cpu", "memory"} & set(options.split(","))


def _processors_by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity


def _memory_of_machine(root: Path) -> list[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            return [int(line.split()[1]) * 1024]
    with suppress(ValueError, OSError):  # macOS has no such file
        return [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    return []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
