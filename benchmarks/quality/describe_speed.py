"""How fast `describe` is beside an earlier version of it, on photographs with and without text, and what it holds.

    git worktree add OLD 751df0b
    python -m benchmarks.quality.describe_speed OLD

Two processes a version, each with one thread; rounds of the versions take turns. In a round each process describes all
photographs, one of them backwards, so that both have the same to do. The photographs have to be there
(`python -m benchmarks.quality.fetch`). Where the processor is Intel's and there is a C compiler, the same is done
once more with all that came after AVX2 hidden from both (`narrow_cpu.c`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks import kept
from benchmarks.quality import chapters, report
from benchmarks.quality.fetch import photographs
from imagebatch_vision.describe import Describe

WORKERS = 2
UNLOADED_WITHIN_S = 60.0
TREE = Path(__file__).parents[2]
NARROW_CPU = Path(__file__).with_name("narrow_cpu.c")

HEAD = """
Each version in {workers} processes of its own, both in one run, round by round in turn ({rounds} rounds; the median),
on the photographs of packages: all {mixed}, and the {plain} in which the earlier version reads nothing. Processor
time is the mean of an image, decoding and the answer's JSON included; memory is a process's after a round, at its
highest. The service itself takes about 2 ms an image besides (next chapter). "AVX2" is the same machine with AVX-512,
VNNI, bf16 and AMX hidden from the processes.

| photographs | figure | {old} | new | ratio | to reach |
|---|---|---|---|---|---|
"""


@dataclass
class Figures:
    """Of one version on one set, a value a round."""

    images_per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    resident_mb: float = 0.0
    private_mb: float = 0.0


class Worker:
    """A process of a version; to be entered, and left to end it."""

    def __init__(self, version: Path, *arguments: str, preload: Path | None = None) -> None:
        where = os.pathsep.join(str(version / part) for part in ("server", "client", "generated"))
        self._command = [sys.executable, "-m", "benchmarks.quality.describing", *arguments]
        self._environment = os.environ | {"PYTHONPATH": where, "OPENBLAS_NUM_THREADS": "1"}
        if preload is not None:
            self._environment["LD_PRELOAD"] = str(preload)

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            self._command, cwd=TREE, env=self._environment, text=True, stdin=pipe, stdout=pipe
        )
        self.answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, paths: Sequence[Path]) -> None:
        """Begin with photographs."""
        assert self.process.stdin is not None
        self.process.stdin.write("\t".join(map(str, paths)) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for what came of them."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def run_round(workers: Sequence[Worker], paths: Sequence[Path], figures: Figures) -> None:
    """Let all workers describe all photographs."""
    begun_at = time.perf_counter()
    for number, worker in enumerate(workers):
        worker.ask(paths[:: -1 if number % 2 else 1])
    answers = [worker.answer() for worker in workers]
    figures.images_per_s.append(len(paths) * len(workers) / (time.perf_counter() - begun_at))
    figures.cpu_ms.append(statistics.mean(it["cpu_ms"] for it in answers))
    figures.resident_mb = max(figures.resident_mb, *(it["resident_mb"] for it in answers))
    figures.private_mb = max(figures.private_mb, *(it["private_mb"] for it in answers))


def without_text(version: Path, paths: Sequence[Path]) -> list[Path]:
    """Choose those in which the version reads nothing."""
    with Worker(version) as worker:
        worker.ask(paths)
        return [path for path, has_text in zip(paths, worker.answer()["has_text"], strict=True) if not has_text]


def unloading(paths: Sequence[Path]) -> tuple[float, float]:
    """Answer the megabytes that a process holds after its last image, and when its models were let go of."""
    with Worker(TREE, "2") as worker:
        worker.ask(paths)
        before = worker.answer()["resident_mb"]
        process, least, until = psutil.Process(worker.process.pid), before, time.monotonic() + UNLOADED_WITHIN_S
        while least > before - 50 and time.monotonic() < until:
            time.sleep(1)
            least = min(least, process.memory_info().rss / 1e6)
        time.sleep(1)
        return before, process.memory_info().rss / 1e6


def narrow_cpu(folder: Path) -> Path | None:
    """Build what hides the newer instructions; None where that can't be done."""
    if "cpuid_fault" not in Path("/proc/cpuinfo").read_text().split() or shutil.which("cc") is None:
        return None
    library = folder / "narrow_cpu.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, NARROW_CPU], check=True)
    return library


def compared(old: Path, paths: Sequence[Path], rounds: int, preload: Path | None) -> tuple[Figures, Figures]:
    """Let both versions describe photographs."""
    figures = {old: Figures(), TREE: Figures()}
    with ExitStack() as stack:
        workers = {it: [stack.enter_context(Worker(it, preload=preload)) for _ in range(WORKERS)] for it in figures}
        for _ in range(rounds):
            for version, found in figures.items():
                run_round(workers[version], paths, found)
    return figures[old], figures[TREE]


def rows(name: str, old: Figures, new: Figures, rate_mark: str) -> list[str]:
    def row(figure: str, unit: str, values: Sequence[float], mark: str) -> str:
        before, after = values
        return f"| {name} | {figure} | {before:.1f} {unit} | **{after:.1f}** {unit} | {after / before:.2f} | {mark} |"

    speeds = [statistics.median(it.images_per_s) for it in (old, new)]
    times = [statistics.median(it.cpu_ms) for it in (old, new)]
    return [
        row("images a second, two processes", "/s", speeds, rate_mark),
        row("processor time of an image", "ms", times, ""),
        row("resident, a process", "MB", [old.resident_mb, new.resident_mb], "<= 300"),
        row("private of it", "MB", [old.private_mb, new.private_mb], ""),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.describe_speed")
    parser.add_argument("old", type=Path, help="a worktree of the earlier version")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--some", type=int, default=1, help="take every so many-th photograph")
    arguments = parser.parse_args()
    mixed = [it.path for it in photographs()][:: arguments.some]
    plain = without_text(arguments.old, mixed)
    with tempfile.TemporaryDirectory() as folder:
        narrow = narrow_cpu(Path(folder))
        measured: list[tuple[str, list[Path], str, Path | None]] = [
            ("without text", plain, ">= 30", None),
            ("all", mixed, ">= 20", None),
        ]
        if narrow is not None:
            measured += [("without text, AVX2", plain, ">= old", narrow), ("all, AVX2", mixed, ">= old", narrow)]
        lines: list[str] = []
        for name, paths, mark, preload in measured:
            lines += rows(name, *compared(arguments.old, paths, arguments.rounds, preload), mark)
            sys.stdout.write("\n".join(lines[-4:]) + "\n")
    before, after = unloading(mixed[:10])
    commit = subprocess.run(
        ["git", "-C", str(arguments.old), "rev-parse", "--short", "HEAD"], check=True, text=True, stdout=subprocess.PIPE
    ).stdout.strip()
    head = HEAD.format(workers=WORKERS, rounds=arguments.rounds, mixed=len(mixed), plain=len(plain), old=commit)
    held = f"\n\nModels that are let go of (`IMAGEBATCH_VISION_UNLOAD_AFTER_S`): {before:.0f} MB become {after:.0f}."
    made_by = report.made_by("python -m benchmarks.quality.describe_speed OLD", Describe)
    note = kept.notes()["describe_speed"].strip()
    chapters.write(chapters.DESCRIBE_SPEED, f"{made_by}{head}" + "\n".join(lines) + f"{held}\n\n{note}")


if __name__ == "__main__":
    main()
