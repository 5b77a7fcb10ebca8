"""What processes ask of the kernel, in its order, as strace tells it."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CALLS = "fsync,fdatasync,sync_file_range,link,linkat,pwrite64,write,writev,sendmsg,sendto"
SHOWN_BYTES = 2_000
ATTACH_S = 20

_LINE = re.compile(r"^(?P<pid>\d+) +(?P<rest>.*)$")
_BEGUN = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*?)(?P<unfinished> <unfinished \.\.\.>)?$")
_RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<arguments>.*)$")
_ENDED = re.compile(r"^(?P<arguments>.*)\) += (?P<answer>-?\d+).*$")


@dataclass(slots=True)
class Call:
    """One call; `began` and `ended` are its places in the order of all beginnings and endings."""

    name: str
    arguments: str
    began: int
    ended: int
    answer: int

    @property
    def is_sync(self) -> bool:
        """Whether it makes a file or a folder durable, and did."""
        return self.name in ("fsync", "fdatasync") and self.answer == 0


@contextmanager
def tracing(pids: Sequence[int], log: Path) -> Iterator[None]:
    """Trace processes and all their threads while the block runs; skips the test where that can't be done."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed; on Debian: apt install strace")
    options = ["-f", "-y", "-s", str(SHOWN_BYTES), "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log)]
    for pid in pids:
        options += ["-p", str(pid)]
    tracer = subprocess.Popen([program, *options], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    for attached in range(len(pids)):
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.wait(ATTACH_S)
            pytest.skip(f"strace can't attach to process {pids[attached]}: {said.strip()}")
    rest = threading.Thread(target=tracer.stderr.read)
    rest.start()
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait(ATTACH_S)
        rest.join()


def calls(log: Path) -> list[Call]:
    """List the calls that ended, in the order of their beginnings."""
    found: list[Call] = []
    open_calls: dict[str, tuple[str, str, int]] = {}
    for place, line in enumerate(log.read_text(errors="replace").splitlines()):
        match = _LINE.match(line)
        if match is None:
            continue
        pid, rest = match["pid"], match["rest"]
        if resumed := _RESUMED.match(rest):
            name, arguments, began = open_calls.pop(pid, (resumed["name"], "", place))
            text = arguments + resumed["arguments"]
        elif begun := _BEGUN.match(rest):
            if begun["unfinished"]:
                open_calls[pid] = (begun["name"], begun["arguments"], place)
                continue
            name, text, began = begun["name"], begun["arguments"], place
        else:
            continue
        if ended := _ENDED.match(text):
            found.append(Call(name, ended["arguments"], began, place, int(ended["answer"])))
    return sorted(found, key=lambda call: call.began)
