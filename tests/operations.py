"""Operations for tests that drive a real server through doors which carry no metadata, such as the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters


class Pace(Parameters):
    """How long each item takes; and a file that says from which index on items must wait until it says more."""

    seconds: float = 0.0
    gate: str | None = None


class Measured(Output):
    """What a look at the image tells."""

    description: str


class Paced(Operation[Pace]):
    """Decodes the image and takes its time, so that a test stays in the middle of a batch."""

    name: ClassVar[str] = "paced"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "tells the size, after a while"
    parameters: ClassVar[type[Parameters]] = Pace
    output: ClassVar[type[Output]] = Measured

    def run(self, image: Image, parameters: Pace, item: ItemContext) -> Output:
        width, height = image.pixels.size
        time.sleep(parameters.seconds)
        while parameters.gate is not None and item.item_index >= opened(Path(parameters.gate)):
            time.sleep(0.005)
        return Measured(description=f"{width} x {height}")


def open_gate(gate: Path, until_index: int) -> None:
    """Let items below an index pass."""
    written = gate.with_suffix(".new")
    written.write_text(str(until_index))
    written.rename(gate)


def opened(gate: Path) -> int:
    """Below which index items may pass."""
    return int(gate.read_text())
