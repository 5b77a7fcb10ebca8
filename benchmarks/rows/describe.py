"""`describe` on real photographs by two workers, beside the same function in a ProcessPoolExecutor of two."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from benchmarks import operation_speed
from benchmarks.measure import Report, Scale
from imagebatch_server.app.demo import PHOTOGRAPHS

ROW = "describe"


async def measure(scale: Scale, report: Report) -> None:
    report.add(await operation_speed.measure(ROW, ROW, photographs(), scale.pictures, scale.long_rounds))


def photographs() -> list[bytes]:
    """Those that ship inside packages."""
    paths: list[Path] = []
    for package, names in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            paths += [Path(spec.origin).parent / name for name in names]
    return [path.read_bytes() for path in paths if path.exists()]
