"""More ways for an operation to behave: it fails the first time only, or answers with what nobody can store."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.operations_for_tests import OPERATIONS as COMMON
from tests.operations_for_tests import Nothing, Scripted

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import Outcome
from imagebatch_server.executors.protocol.frames import frame
from imagebatch_server.executors.protocol.messages import Done, StoredImage
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, MeteredOutput, Stored


class Troubled(Scripted):
    """`scripted`; and `flake` fails the first time as a provider does that is busy: the file at `marker` remembers.

    `parricide` kills what the worker is a child of: a server, or a node's agent.
    """

    name: ClassVar[str] = "troubled"

    def run(self, image: Image, parameters: Any, item: ItemContext) -> Any:
        if item.metadata.get("do") == "sleep":
            threading.Event().wait(item.metadata["seconds"])  # not `time.sleep`, which fails under libfaketime
            return Nothing()
        if item.metadata.get("do") == "parricide":
            os.kill(os.getppid(), signal.SIGKILL)
        if item.metadata.get("do") != "flake":
            return super().run(image, parameters, item)
        marker = Path(item.metadata["marker"])
        if not marker.exists():
            marker.touch()
            raise ItemError(ItemErrorCode.PROVIDER_ERROR, "busy; try again", transient=True)
        return Nothing()


class Misanswering(Scripted):
    """`scripted`; and gives the answer that the metadata name under `answer`, one of ANSWERS."""

    name: ClassVar[str] = "misanswering"

    def run(self, image: Image, parameters: Any, item: ItemContext) -> Any:
        if "answer" not in item.metadata:
            return super().run(image, parameters, item)
        return ANSWERS[item.metadata["answer"]](image, item)


def _of_type(content_type: Any) -> Callable[[Image, ItemContext], Any]:
    return lambda image, _item: Stored(Nothing(), image.data, content_type)


def _of_tokens(tokens: Any) -> Callable[[Image, ItemContext], Any]:
    return lambda _image, _item: MeteredOutput.model_construct(input_tokens=tokens)


def _with_code(code: Any) -> Callable[[Image, ItemContext], Any]:
    def fails(_image: Image, _item: ItemContext) -> Any:
        raise ItemError(code, "on purpose")

    return fails


def _jump(_image: Image, _item: ItemContext) -> Any:
    """Let the child's clock show that ages have passed."""
    time.perf_counter = lambda: 1e17
    return Nothing()


def _said(**changes: Any) -> Callable[[Image, ItemContext], Any]:
    """Answer behind the child's back, as a decoder might that was taken over, and go."""

    def says(_image: Image, item: ItemContext) -> Any:
        done = Done(Outcome(item.item_index, BatchItemStatus.SUCCESS, output_data=b""), **changes)
        for fd in Path("/proc/self/fd").iterdir():
            try:
                with socket.socket(fileno=os.dup(int(fd.name))) as channel:
                    channel.sendall(frame(done))
            except OSError:
                continue  # no socket
        os._exit(0)

    return says


ANSWERS: Mapping[str, Callable[[Image, ItemContext], Any]] = {
    "a type with NUL": _of_type("image/\0png"),
    "half a character as type": _of_type("image/\ud800"),
    "an endless type": _of_type("image/" + "x" * 300_000),
    "no type": _of_type(None),
    "no image": lambda _image, _item: Stored(Nothing(), "text", "image/png"),  # type: ignore[arg-type]
    "fewer than no tokens": _of_tokens(-1),
    "more tokens than there are": _of_tokens(2**70),
    "tokens that are no number": _of_tokens("many"),
    "a code of skipped items": _with_code(ItemErrorCode.CANCELLED),
    "a code that nobody knows": _with_code("out_of_luck"),
    "ages": _jump,
    "ages, said behind the child's back": _said(run_s=1e17),
    "a type with NUL, said behind the child's back": _said(stored=StoredImage(b"", "0" * 64, "image/\0png")),
}

OPERATIONS = {
    **COMMON,
    Troubled.name: f"{__name__}:{Troubled.__name__}",
    Misanswering.name: f"{__name__}:{Misanswering.__name__}",
    "paced": "tests.operations:Paced",
}
"""Import references by name."""
