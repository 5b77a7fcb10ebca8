"""Two versions beside each other: a commit taken out of the repository, and the tree as it is.

Each answers in a process of its own (`answering.py`), with the same libraries. Answers are kept by the content of the
code and models that gave them, so that what has not changed is asked once, and a run that was cut goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.quality.report import PACKAGES

TREE = Path(__file__).parents[2]
KEPT = Path(__file__).with_name(".versions")
_ANSWERING = ("server/imagebatch_vision", "server/imagebatch_server/images", "server/imagebatch_server/operations")
_ASKING = ("answering.py", "damage.py", "fetch.py", "photographs.py", "photographs.toml", "reading.py", "verify.py")
PATHS = ("server", "client", "generated")
"""What of a tree is a version."""
Answers = Mapping[str, Mapping[str, Any]]
"""By their keys."""


@dataclass(frozen=True)
class Version:
    """A tree of files with `server`, `client` and `generated`."""

    name: str
    folder: Path

    @classmethod
    def of_commit(cls, commit: str) -> Version:
        """Take a commit's files out of this repository, once. Raises CalledProcessError where there is none such."""
        full = _git("rev-parse", f"{commit}^{{commit}}").decode().strip()
        folder = KEPT / full
        if not folder.is_dir():
            unpacked = KEPT / f"{full}.partly"
            unpacked.mkdir(parents=True, exist_ok=True)
            files = _git("archive", full, *PATHS)
            subprocess.run(["tar", "-x", "-C", str(unpacked)], input=files, check=True)
            unpacked.rename(folder)
        return cls(commit, folder)

    @classmethod
    def of_tree(cls) -> Version:
        """Take the files as they are here, committed or not."""
        return cls("this tree", TREE)

    @cached_property
    def key(self) -> str:
        """What answers depend on: code, models, libraries and questions."""
        digest = hashlib.sha256()
        files = [path for part in _ANSWERING for path in (self.folder / part).rglob("*") if path.suffix != ".pyc"]
        for path in [*sorted(it for it in files if it.is_file()), *(Path(__file__).with_name(it) for it in _ASKING)]:
            digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        digest.update(" ".join(f"{it} {metadata.version(it)}" for it in PACKAGES).encode())
        return digest.hexdigest()[:16]

    def described(self, paths: Sequence[Path]) -> Answers:
        """Answer of each photograph, by the SHA-256 of its file."""
        known = self._kept("describe")
        missing = [it for it in paths if sha256_of(it) not in known]
        return self._ask("describe", missing) if missing else known

    def answers(self, task: str) -> Answers:
        """Answer of one of the other tasks, whole."""
        done = self._folder / f"{task}.done"
        if done.exists():
            return self._kept(task)
        (self._folder / f"{task}.jsonl").unlink(missing_ok=True)
        answers = self._ask(task, [])
        done.touch()
        return answers

    @property
    def _folder(self) -> Path:
        return KEPT / "answers" / self.key

    def _kept(self, task: str) -> Answers:
        path = self._folder / f"{task}.jsonl"
        return _by_key(path.read_text(encoding="utf-8").splitlines()) if path.exists() else {}

    def _ask(self, task: str, paths: Sequence[Path]) -> Answers:
        """Run a process of this version. Raises CalledProcessError where it fails."""
        self._folder.mkdir(parents=True, exist_ok=True)
        sys.stderr.write(f"{self.name}: {task}{f' of {len(paths)} photographs' if paths else ''}\n")
        command = [sys.executable, "-m", "benchmarks.quality.answering", task]
        where = os.pathsep.join(str(self.folder / part) for part in PATHS)
        with (self._folder / f"{task}.jsonl").open("a", encoding="utf-8") as file:
            asked = "".join(f"{path}\n" for path in paths)
            environment = os.environ | {"PYTHONPATH": where}
            subprocess.run(command, cwd=TREE, env=environment, input=asked, text=True, stdout=file, check=True)
        return self._kept(task)


def _by_key(lines: Iterable[str]) -> Answers:
    return {it["key"]: it for it in map(json.loads, lines)}


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(TREE), *arguments], check=True, stdout=subprocess.PIPE).stdout


def sha256_of(path: Path) -> str:
    """Of a file, as answers are kept by it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
