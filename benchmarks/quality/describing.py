"""One worker of one version of `describe`, for `describe_speed.py`, which starts it; PYTHONPATH decides which version.

It answers lines of JSON on its standard output: one when it has loaded, then one for each line of paths, separated by
tabs, that it is given.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext
from imagebatch_vision.describe import Describe, DescribeParameters


def main() -> None:
    operation, parameters = Describe(), DescribeParameters()
    section = {"unload_after_s": float(sys.argv[1])} if len(sys.argv) > 1 else {}
    vars(operation)["configured"] = operation.settings.model_validate(section)  # a version may have none
    operation.load()
    _say({"ready": True, **_memory()})
    for line in sys.stdin:
        files = [Path(path).read_bytes() for path in line.rstrip("\n").split("\t")]
        begun_s, texts = time.process_time(), []
        for data in files:
            output = operation.run(Image.open(data), parameters, ItemContext(item_index=0))
            output.model_dump_json(exclude_none=True)
            texts.append(bool(output.visible_text))
        _say({"cpu_ms": (time.process_time() - begun_s) / len(files) * 1e3, "has_text": texts, **_memory()})


def _memory() -> dict[str, Any]:
    memory = psutil.Process().memory_full_info()
    return {"resident_mb": memory.rss / 1e6, "private_mb": memory.uss / 1e6}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
