"""One more way for an operation to behave: it fails the first time only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tests.operations_for_tests import OPERATIONS as COMMON
from tests.operations_for_tests import Nothing, Scripted

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext


class Troubled(Scripted):
    """`scripted`; and `flake` fails the first time as a provider does that is busy: the file at `marker` remembers."""

    name: ClassVar[str] = "troubled"

    def run(self, image: Image, parameters: Any, item: ItemContext) -> Any:
        if item.metadata.get("do") != "flake":
            return super().run(image, parameters, item)
        marker = Path(item.metadata["marker"])
        if not marker.exists():
            marker.touch()
            raise ItemError(ItemErrorCode.PROVIDER_ERROR, "busy; try again", transient=True)
        return Nothing()


OPERATIONS = {**COMMON, Troubled.name: f"{__name__}:{Troubled.__name__}", "paced": "tests.operations:Paced"}
"""Import references by name."""
