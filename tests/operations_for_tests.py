"""Operations that misbehave when told to, for tests that run real child processes.

Children load them by reference, `tests.operations_for_tests:Scripted`; OPERATIONS has them all by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import (
    AsyncOperation,
    ChunkOperation,
    ItemContext,
    MeteredOutput,
    Operation,
    Output,
    Parameters,
    Stored,
)
from imagebatch_server.operations.servers import server_count
from imagebatch_server.operations.threads import in_thread


class Nothing(Output):
    """Say nothing."""


class Echoed(Output):
    """What the operation was given."""

    item_index: int
    metadata: dict[str, Any]
    declared_type: str | None = None
    format: str
    word: str
    pid: int


class EchoParameters(Parameters):
    """A word to be repeated."""

    word: str = ""


class Noop(Operation[Parameters]):
    """Do nothing; show what everything around an operation costs."""

    name: ClassVar[str] = "noop"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "does nothing"
    parameters: ClassVar[type[Parameters]] = Parameters
    output: ClassVar[type[Output]] = Nothing

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        return Nothing()


class Scripted(Operation[EchoParameters]):
    """Do what the item's metadata says under `do`, one of the functions of DEEDS; then answer what it was given."""

    name: ClassVar[str] = "scripted"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "does what the metadata says, then echoes it"
    parameters: ClassVar[type[Parameters]] = EchoParameters
    output: ClassVar[type[Output]] = Echoed

    def run(self, image: Image, parameters: EchoParameters, item: ItemContext) -> Output:
        assert image.width  # looked at, as by most operations
        if "do" in item.metadata:
            DEEDS[item.metadata["do"]](item.metadata)
        return Echoed(
            item_index=item.item_index,
            metadata=dict(item.metadata),
            declared_type=item.declared_type,
            format=image.format,
            word=parameters.word,
            pid=os.getpid(),
        )


class OtherScripted(Scripted):
    """The same under another name."""

    name: ClassVar[str] = "other"


class Storing(Noop):
    """Answer with the image itself, to be stored."""

    name: ClassVar[str] = "storing"

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Any:
        return Stored(Nothing(), image.data, f"image/{image.format}")


class Decoding(Noop):
    """Decode the image and, if the metadata says so, fail then: `failure` is "permanent" or "transient"."""

    name: ClassVar[str] = "decoding"

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        image.pixels  # noqa: B018 - decoding is what it is for
        failure = item.metadata.get("failure")
        if failure is not None:
            raise ItemError(ItemErrorCode.PROVIDER_ERROR, "as asked for", transient=failure == "transient")
        return Nothing()


class Verbose(Noop):
    """Answer with as many characters as the metadata says under `characters`."""

    name: ClassVar[str] = "verbose"
    output: ClassVar[type[Output]] = Echoed

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        text = "x" * int(item.metadata["characters"])
        return Echoed(item_index=item.item_index, metadata={}, format=image.format, word=text, pid=os.getpid())


class NotANumber(Noop):
    """Answer what JSON can't say."""

    name: ClassVar[str] = "not-a-number"
    output: ClassVar[type[Output]] = Echoed

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        return Echoed(item_index=item.item_index, metadata={"n": [math.nan]}, format=image.format, word="", pid=PID)


class NoOutput(Noop):
    """Break the interface."""

    name: ClassVar[str] = "no-output"

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Any:
        return 7


class Chunked(ChunkOperation[EchoParameters]):
    """Do what the items' metadata say, one after the other, and answer each with the number of items there were."""

    name: ClassVar[str] = "chunked"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "takes items at once"
    parameters: ClassVar[type[Parameters]] = EchoParameters
    output: ClassVar[type[Output]] = Echoed
    most_items: ClassVar[int] = 8

    def run_many(
        self, images: Sequence[Image], parameters: EchoParameters, items: Sequence[ItemContext]
    ) -> Sequence[Output | Stored | ItemError]:
        results: list[Output | Stored | ItemError] = []
        for image, item in zip(images, items, strict=True):
            try:
                if "do" in item.metadata:
                    DEEDS[item.metadata["do"]](item.metadata)
            except ItemError as error:
                results.append(error)
            else:
                word = str(len(items))
                results.append(Echoed(item_index=item.item_index, metadata={}, format=image.format, word=word, pid=PID))
        return results[1:] if any("forget-one" in item.metadata for item in items) else results


class Awaiting(AsyncOperation[EchoParameters]):
    """Do what the item's metadata says under `do`, with the loop blocked, then what it says under `wait`."""

    name: ClassVar[str] = "awaiting"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "waits"
    parameters: ClassVar[type[Parameters]] = EchoParameters
    output: ClassVar[type[Output]] = Echoed

    async def run(self, image: Image, parameters: EchoParameters, item: ItemContext) -> Output:
        if "do" in item.metadata:
            DEEDS[item.metadata["do"]](item.metadata)
        if "thread" in item.metadata:
            await in_thread(DEEDS[item.metadata["thread"]], item.metadata)
        if "wait" in item.metadata:
            await WAITS[item.metadata["wait"]](item.metadata)
        return Echoed(
            item_index=item.item_index, metadata=dict(item.metadata), format=image.format, word=parameters.word, pid=PID
        )


class CountsServers(Awaiting):
    """Say how many servers there are."""

    name: ClassVar[str] = "counts-servers"

    async def run(self, image: Image, parameters: EchoParameters, item: ItemContext) -> Output:
        return Echoed(item_index=item.item_index, metadata={}, format=image.format, word=str(server_count()), pid=PID)


class Limited(Awaiting):
    """Only one at a time."""

    name: ClassVar[str] = "limited"

    def __init__(self) -> None:
        self._slot = asyncio.Semaphore(1)

    def slot(self) -> AbstractAsyncContextManager[object]:
        return self._slot


class Metered(Noop):
    """Cost tokens."""

    name: ClassVar[str] = "metered"
    output: ClassVar[type[Output]] = MeteredOutput

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        return MeteredOutput(input_tokens=30, output_tokens=4)


class AsyncLoadFails(Awaiting):
    """Can't be loaded."""

    name: ClassVar[str] = "async-load-fails"

    def load(self) -> None:
        raise FileNotFoundError("the key is missing")


class LoadFails(Noop):
    """Can't be loaded."""

    name: ClassVar[str] = "load-fails"

    def load(self) -> None:
        raise FileNotFoundError("the model is missing")


class LoadCrashes(Noop):
    """Take the process down that loads it."""

    name: ClassVar[str] = "load-crashes"

    def load(self) -> None:
        os.abort()


class LoadHangs(Noop):
    """Is never loaded."""

    name: ClassVar[str] = "load-hangs"

    def load(self) -> None:
        _hang({})


class LoadSlow(Noop):
    """Take half a second to load."""

    name: ClassVar[str] = "load-slow"

    def load(self) -> None:
        time.sleep(0.5)


def _crash(metadata: Mapping[str, Any]) -> None:
    """Die as a decoder does that reads where it must not."""
    ctypes.string_at(0)


def _hang(metadata: Mapping[str, Any]) -> None:
    """Sleep in C with the interpreter's lock held, where no Python code of the process can run."""
    ctypes.PyDLL(None).sleep(3600)


def _backtrack(metadata: Mapping[str, Any]) -> None:
    """Compute for longer than anyone lives, in C."""
    re.fullmatch(r"(a|aa)+", "a" * 100 + "b")


def _exhaust(metadata: Mapping[str, Any]) -> None:
    """Take all the memory there is."""
    hoard = []
    while True:
        hoard.append(np.ones(8 * 1024 * 1024))


def _exhaust_in_c(metadata: Mapping[str, Any]) -> None:
    """Take memory until malloc has none left, and use what it gave all the same."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    while True:
        ctypes.memset(malloc(64 * 1024 * 1024), 1, 64 * 1024 * 1024)


_HOARD: list[np.ndarray[Any, Any]] = []


def _hoard(metadata: Mapping[str, Any]) -> None:
    """Keep memory, as a library that leaks; and take long enough for that to be looked at."""
    _HOARD.append(np.ones(int(metadata["bytes"]) // 8))
    time.sleep(1.1)


def _fail(metadata: Mapping[str, Any]) -> None:
    """Fail with a code that the contract knows; a file at `begun` says that it was tried."""
    if "begun" in metadata:
        Path(metadata["begun"]).touch()
    raise ItemError(
        ItemErrorCode(metadata["code"]),
        metadata["message"],
        transient=bool(metadata.get("transient")),
        retry_after_s=metadata.get("retry_after_s"),
    )


def _misbehave(metadata: Mapping[str, Any]) -> None:
    """Raise what an operation has no reason to."""
    raise ZeroDivisionError(metadata.get("message", "a mistake"))


def _once(metadata: Mapping[str, Any]) -> None:
    """Crash the first time only; the file at `marker` remembers."""
    marker = Path(metadata["marker"])
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _note(metadata: Mapping[str, Any]) -> None:
    """Take a while; the file at `path` counts how often it was begun."""
    with Path(metadata["path"]).open("a") as note:
        note.write("ran\n")
    time.sleep(metadata["seconds"])


def _babble(metadata: Mapping[str, Any]) -> None:
    """Say to the worker what no child says, as a decoder might that was taken over."""
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(fd.name))) as channel:
            channel.sendall(bytes.fromhex(metadata["bytes"]))
    _hang(metadata)


def _spawn_and_hang(metadata: Mapping[str, Any]) -> None:
    """Start another program, as an operation might, and never return from it; its id goes to the file at `pid`."""
    with subprocess.Popen(["sleep", "3600"]) as program:
        Path(metadata["pid"]).write_text(str(program.pid))


def _wait(metadata: Mapping[str, Any]) -> None:
    """Wait until the file at `until` exists; one at `begun` says that it waits."""
    if "begun" in metadata:
        Path(metadata["begun"]).touch()
    while not Path(metadata["until"]).exists():
        time.sleep(0.005)


DEEDS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "crash": _crash,
    "abort": lambda _: os.abort(),
    "note": _note,
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda _: os._exit(3),
    "hang": _hang,
    "backtrack": _backtrack,
    "exhaust": _exhaust,
    "exhaust-in-c": _exhaust_in_c,
    "hoard": _hoard,
    "fail": _fail,
    "misbehave": _misbehave,
    "once": _once,
    "babble": _babble,
    "spawn-and-hang": _spawn_and_hang,
    "wait": _wait,
    "sleep": lambda metadata: time.sleep(metadata["seconds"]),
    "print": lambda metadata: sys.stdout.write(f"{metadata['message']}\n"),
}

PID = os.getpid()


async def _swallow(metadata: Mapping[str, Any]) -> None:
    """Never yield to a cancellation."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


async def _wait_for_file(metadata: Mapping[str, Any]) -> None:
    """Wait until the file at `until` exists."""
    while not Path(metadata["until"]).exists():  # noqa: ASYNC110 - a test in another process makes it
        await asyncio.sleep(0.005)


async def _kill_later(metadata: Mapping[str, Any]) -> None:
    """Let others begin, then die."""
    await asyncio.sleep(metadata["seconds"])
    os.kill(PID, signal.SIGKILL)


WAITS: dict[str, Callable[[Mapping[str, Any]], Awaitable[object]]] = {
    "sleep": lambda metadata: asyncio.sleep(metadata["seconds"]),
    "file": _wait_for_file,
    "swallow": _swallow,
    "kill": _kill_later,
}

OPERATIONS = {
    operation.name: f"{__name__}:{operation.__name__}"
    for operation in (
        Noop, Scripted, OtherScripted, Storing, Decoding, Verbose, NotANumber, NoOutput, LoadFails,
        LoadCrashes, LoadHangs, LoadSlow, Chunked, Awaiting, CountsServers, Limited, Metered, AsyncLoadFails,
    )
}  # fmt: skip
"""Import references by name, as `LaneExecutor` takes them."""
