"""What a file of text is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from imagebatch_client.types import BatchItemResult

Images = Mapping[str, bytes]
"""Stored images by their keys."""


class Form(Protocol):
    """A format of text: what stands before all items, what each of them is, and what stands after them."""

    def head(self) -> str: ...

    def body(self, items: Sequence[BatchItemResult], images: Images) -> str: ...

    def foot(self) -> str: ...
