"""Operations for tests that drive a real server through doors which carry no metadata, such as the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters


class Pace(Parameters):
    """How long each item takes; and a file that says how many items may pass until it says more."""

    seconds: float = 0.0
    gate: str | None = None


class Measured(Output):
    """What a look at the image tells."""

    description: str


class Paced(Operation[Pace]):
    """Decode the image and take its time, so that a test stays in the middle of a batch."""

    name: ClassVar[str] = "paced"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "tells the size, after a while"
    parameters: ClassVar[type[Parameters]] = Pace
    output: ClassVar[type[Output]] = Measured

    def run(self, image: Image, parameters: Pace, item: ItemContext) -> Output:
        width, height = image.pixels.size
        time.sleep(parameters.seconds)
        if parameters.gate is not None:
            turn = turn_at(Path(parameters.gate), item.item_index)
            while turn >= opened(Path(parameters.gate)):
                time.sleep(0.005)
        return Measured(description=f"{width} x {height}")


def open_gate(gate: Path, items: int) -> None:
    """Let so many items pass, whichever come first: the order in which images are read decides which these are."""
    written = gate.with_suffix(".new")
    written.write_text(str(items))
    written.rename(gate)


def opened(gate: Path) -> int:
    """Tell how many items may pass."""
    return int(gate.read_text())


def turn_at(gate: Path, item_index: int) -> int:
    """Tell how many others came before an item, which keeps its turn when it comes again."""
    with gate.with_suffix(".turns").open("a+") as turns:
        turns.write(f"{item_index}\n")  # appended at once, and so in one order for all processes
        turns.flush()
        turns.seek(0)
        return list(dict.fromkeys(turns.read().split())).index(str(item_index))
