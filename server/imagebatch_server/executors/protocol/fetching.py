"""What the server and its fetching child say to each other. Fetches are named by numbers of the server's choosing."""

from __future__ import annotations

import msgspec

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.executors.protocol.messages import Cancel, Message, Ready, Up
from imagebatch_server.images.shares import Shares

PART_BYTES = 256 * 1024
"""How much of an image goes in one message, so that neither side is held up by a large one."""


class StartFetching(Message):
    """To the child, first: what it needs to know for life."""

    memory_bytes: int
    """What the process may use."""
    download_bytes: int
    """What downloads may hold of it."""
    shares: Shares
    """What each batch, tenant and network may have of it, and each network of the fetches."""
    max_image_bytes: int
    max_redirects: int
    allowed_hosts: list[str]
    allowed_networks: list[str]
    ca_pem: str = ""
    """Certificates that are trusted beside the system's."""
    proxy: str = ""
    """The URL of the proxy that everything is fetched through, if there is one."""


class Fetch(Message):
    """To the child: fetch a file. `Arrived`, `NotFetched` or `MadeRoom` follows, unless it is cancelled."""

    number: int
    tenant: str
    batch_id: str
    url: str
    timeout_s: float


class UseHeaders(Message):
    """To the child: from now on send these to the hosts they are for."""

    tables: dict[str, dict[str, str]]


class Take(Message):
    """To the child: send the file that has arrived, in parts."""

    number: int


class Ping(Message):
    """To the child: say that you are well."""


class Pong(Message):
    """It is well."""


class Slow(Message):
    """The host is slow."""

    number: int


class Arrived(Message):
    """A file is here, and waits to be taken."""

    number: int
    size_bytes: int
    content_type: str | None
    took_s: float


class Part(Message):
    """The next bytes of a file that is taken; the last ones when all of `size_bytes` are there."""

    number: int
    data: bytes


class Forbidden(Message):
    """Whom nobody may ask, for the operator's eyes alone."""

    host: str
    address: str
    kind: str


class NotFetched(Message):
    """A file can't be had."""

    number: int
    code: ItemErrorCode
    message: str
    transient: bool
    busy: bool = False
    retry_after_s: float | None = None
    forbidden: Forbidden | None = None


class MadeRoom(Message):
    """A download was ended in favour of others."""

    number: int


FromFetchingChild = Up | Ready | Pong | Slow | Arrived | Part | NotFetched | MadeRoom
ToFetchingChild = Fetch | UseHeaders | Take | Cancel | Ping

decode_from_fetching_child = msgspec.msgpack.Decoder(FromFetchingChild).decode
decode_to_fetching_child = msgspec.msgpack.Decoder(ToFetchingChild).decode
