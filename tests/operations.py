"""Operations for tests that drive a real server through doors which carry no metadata, such as the command line."""

from __future__ import annotations

import time
from typing import ClassVar

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters


class Pace(Parameters):
    """How long each item takes."""

    seconds: float


class Measured(Output):
    """What a look at the image tells."""

    description: str


class Paced(Operation[Pace]):
    """Decodes the image and takes its time."""

    name: ClassVar[str] = "paced"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "tells the size, after a while"
    parameters: ClassVar[type[Parameters]] = Pace
    output: ClassVar[type[Output]] = Measured

    def run(self, image: Image, parameters: Pace, item: ItemContext) -> Output:
        width, height = image.pixels.size
        time.sleep(parameters.seconds)
        return Measured(description=f"{width} x {height}")
