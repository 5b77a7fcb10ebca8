"""JSON Lines: what `imagebatch results --json` prints, one line an item."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_client.export.form import Images
from imagebatch_client.texts import json_line
from imagebatch_client.types import BatchItemResult


class JsonLines:
    """The form of `.jsonl`."""

    def head(self) -> str:
        return ""

    def body(self, items: Sequence[BatchItemResult], images: Images) -> str:
        return "".join(f"{json_line(item)}\n" for item in items)

    def foot(self) -> str:
        return ""
