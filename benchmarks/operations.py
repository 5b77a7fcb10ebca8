"""Our no-op operation; the server's children load it by reference."""

from __future__ import annotations

import math
import random
import time
from typing import ClassVar

from benchmarks import work
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters

REFERENCES = {
    "noop": f"{__name__}:Noop",
    "paced": f"{__name__}:Paced",
    "varied": f"{__name__}:Varied",
    "waiting": f"{__name__}:Waiting",
}
PACE_S = 0.01
WAIT_S = 0.2


class Answer(Output):
    """What `work.answer` gives."""

    index: int
    name: str
    description: str
    confidence_score: float
    width: int
    height: int
    format: str
    tags: list[str]


class Noop(Operation[Parameters]):
    """Answer its metadata; look at no pixel."""

    name: ClassVar[str] = "noop"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "does nothing"
    parameters: ClassVar[type[Parameters]] = Parameters
    output: ClassVar[type[Output]] = Answer

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        return Answer(**work.answer(item.metadata))


class Paced(Noop):
    """Take 10 ms an item: one worker runs 100 a second."""

    name: ClassVar[str] = "paced"
    _next_at: float = 0.0

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        self._next_at = max(self._next_at, time.monotonic()) + PACE_S
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        return super().run(image, parameters, item)


class Varied(Noop):
    """Take 50 ms an item in the middle, a few of them many times as long, as their index says; no processor."""

    name: ClassVar[str] = "varied"

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        time.sleep(min(random.Random(item.metadata["index"]).lognormvariate(math.log(0.05), 1.0), 3.0))
        return super().run(image, parameters, item)


class Waiting(Noop):
    """Wait 200 ms an item, and take next to nothing of a processor."""

    name: ClassVar[str] = "waiting"

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        time.sleep(WAIT_S)
        return super().run(image, parameters, item)
