"""What a worker and its child say to each other; `frames` puts it on a socket.

Not pickle: a child whose decoder was taken over must be able to say something false, and no more. There are two kinds
of children. A serial one works through what it is sent in order, so its answers need no numbers; a concurrent one has
many items in flight, each of them a chunk of its own, and names them by the number of the chunk, counted from 1.
"""

from __future__ import annotations

import msgspec

from imagebatch_server.batches.model import Outcome
from imagebatch_server.operations.configuration import Configuration

MAX_STORED_BYTES = 64 * 1024 * 1024
"""The largest image that an operation may make."""

EXIT_OUT_OF_MEMORY = 70
"""A child's exit status when an allocation failed."""

EXIT_FULL = 71
"""A child's exit status when it holds too much memory for another chunk: no crash, but time for a new one."""


class Message(msgspec.Struct, array_like=True, gc=False, tag=True):
    """Base of all messages."""


class Start(Message):
    """To the child, first: what it needs to know for life."""

    operations: dict[str, str]
    """Import references, `module:Class`, by name."""
    warm: list[str]
    max_image_pixels: int
    memory_bytes: int
    is_concurrent: bool
    configuration: Configuration
    makes_previews: bool
    outbox_fd: int | None = None
    """Where a serial child finds its outbox; None: it has none, and sends each word at once."""


class Task(msgspec.Struct, array_like=True, gc=False):
    """One item of a chunk; its `size_bytes` bytes of image follow the chunk's frame."""

    item_index: int
    declared_type: str | None
    metadata: bytes | None
    size_bytes: int


class Chunk(Message):
    """To the child: items to run, one after the other."""

    operation: str
    parameters: bytes | None
    tasks: list[Task]
    servers: int = 1
    """How many servers there are now: limits of what an operation asks of others are for all of them."""


class Cancel(Message):
    """To a concurrent child: let go of an item. An `Ended` follows, unless one has come already."""

    number: int


class Up(Message):
    """The process runs."""


class Ready(Message):
    """The operations to be kept warm are loaded; chunks are welcome."""


class Loading(Message):
    """An operation is being loaded, at a chunk's beginning or before `Ready`."""

    operation: str


class Loaded(Message):
    """It is loaded."""

    seconds: float


class LoadFailed(Message):
    """It can't be. A serial child drops the chunk that asked for it, if any; a concurrent one answers each task."""

    operation: str
    reason: str
    traceback: str | None = None
    """Only where it was tried just now."""

    @property
    def explanation(self) -> str:
        """What the items that asked for it are told."""
        return f"operation {self.operation} can't be loaded: {self.reason}; the server's log says where"


class Started(Message):
    """Work on the chunk's first tasks begins: on one, or on all where the operation takes a chunk at once."""

    tasks: int


class StoredImage(msgspec.Struct, array_like=True, gc=False):
    """An encoded image that belongs to an outcome."""

    data: bytes
    sha256: str
    content_type: str


class Done(Message):
    """A task has ended: its outcome, as far as a child knows it."""

    outcome: Outcome
    run_s: float = 0.0
    """Decoding and running."""
    stored: StoredImage | None = None
    transient: bool = False
    busy: bool = False
    retry_after_s: float | None = None
    traceback: str | None = None
    next_started: bool = False
    """Work on the chunk's next task begins: saves a `Started` for each item."""
    preview: bytes | None = None
    """A small JPEG of the image, where it was decoded and this is the item's outcome."""


class Begun(Message):
    """A concurrent child began with an item."""

    number: int


class Ended(Message):
    """A concurrent child has ended an item, or let go of it before it had begun: then there is no `done`."""

    number: int
    done: Done | None = None


class Retiring(Message):
    """A concurrent child holds too much memory: it takes nothing more, ends what it has, and exits."""


FromChild = Up | Ready | Loading | Loaded | LoadFailed | Started | Done | Begun | Ended | Retiring
ToConcurrentChild = Chunk | Cancel
