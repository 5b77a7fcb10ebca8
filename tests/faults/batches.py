"""Batches of every kind of item, and how each item must end whoever is killed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.calls import counters
from tests.faults.checker import Evidence, Outcome, Watch
from tests.integration.server import pictures
from tests.integration.server.calls import item

from imagebatch.v1 import batch_service_pb2, types_pb2

LABEL = "request"
BY_STREAM = 0.4
ITEMS_A_MESSAGE = 7
MAX_ATTEMPTS = 4
"""Enough that no item can lose all its attempts to workers that a test kills."""


@dataclass(frozen=True)
class Deed:
    """What an item's metadata tells the operation to do, and how that ends."""

    make: Callable[[random.Random, Path], dict[str, object]]
    end: str
    end_if_cancelled: str | None = None
    """How it may end, too, if its batch is cancelled while it is under way: no second attempt follows then."""


def _marker(chance: random.Random, folder: Path) -> str:
    return str(folder / f"{chance.getrandbits(64):x}")


DEEDS = {
    "noop": Deed(lambda chance, folder: {}, "success"),
    "sleep": Deed(lambda chance, folder: {"do": "sleep", "seconds": chance.uniform(0.002, 0.06)}, "success"),
    "flake": Deed(
        lambda chance, folder: {"do": "flake", "marker": _marker(chance, folder)}, "success", "provider_error"
    ),
    "once": Deed(lambda chance, folder: {"do": "once", "marker": _marker(chance, folder)}, "success"),
    "permanent": Deed(lambda chance, folder: {"do": "fail", "code": "decode_failed", "message": "no"}, "decode_failed"),
    "transient": Deed(
        lambda chance, folder: {"do": "fail", "code": "fetch_failed", "message": "busy", "transient": True},
        "fetch_failed",
    ),
    "crash": Deed(lambda chance, folder: {"do": "kill"}, "worker_crashed"),
    "one of five": Deed(lambda chance, folder: {"number": chance.randrange(5)}, "success"),
}
DUPLICATE = Deed(lambda chance, folder: {}, "duplicate")
"""What becomes of an item that repeats an earlier one, whatever it was to do."""

# Sizes, and the deeds of items with their weights.
KINDS: dict[str, tuple[range, dict[str, int]]] = {
    "tiny": (range(1, 6), {"noop": 3, "sleep": 1}),
    "short": (range(5, 40), {"noop": 1}),
    "failing": (range(5, 20), {"noop": 2, "sleep": 1, "permanent": 2}),
    "quick": (range(60, 200), {"noop": 1}),
    "slow": (range(10, 40), {"sleep": 1}),
    "repeating": (range(10, 40), {"one of five": 1}),
    "mixed": (
        range(10, 30),
        {"noop": 20, "sleep": 30, "flake": 5, "once": 1, "permanent": 5, "transient": 3, "crash": 1},
    ),
}


@dataclass
class Submitted:
    """One batch, and what is known of it."""

    kind: str
    request: batch_service_pb2.SubmitBatchRequest
    deeds: Sequence[Deed]
    by_stream: bool
    answers: list[str] = field(default_factory=list)
    """The batch ids that its submits were answered with."""
    watches: list[Watch] = field(default_factory=list)
    cancelled: bool = False
    retries: int = 0
    deleted: bool = False

    @property
    def request_id(self) -> str:
        return self.request.options.request_id

    def stream(self) -> Iterator[batch_service_pb2.SubmitBatchStreamRequest]:
        """Make the same as the messages of a stream."""
        yield batch_service_pb2.SubmitBatchStreamRequest(options=self.request.options)
        for at in range(0, len(self.request.items), ITEMS_A_MESSAGE):
            items = batch_service_pb2.BatchImageInputs(items=self.request.items[at : at + ITEMS_A_MESSAGE])
            yield batch_service_pb2.SubmitBatchStreamRequest(items=items)

    def evidence(
        self,
        status: types_pb2.BatchStatusResult,
        shown: Sequence[Outcome],
        rows: Sequence[Outcome],
        audit: Sequence[str] = (),
    ) -> Evidence:
        """Collect what the checker is to judge."""
        return Evidence(
            batch_id=f"{status.batch_id} ({self.kind})",
            item_ids=[one.item_id for one in self.request.items],
            allowed=[self._ends(deed) for deed in self.deeds],
            pages=shown,
            rows=rows,
            counters=counters(status),
            watches=self.watches,
            audit=audit,
            cancelled=self.cancelled,
            retried=self.retries > 0,
        )

    def _ends(self, deed: Deed) -> frozenset[str]:
        if not self.cancelled:
            return frozenset({deed.end})
        return frozenset({deed.end, "cancelled", "worker_crashed", deed.end_if_cancelled or deed.end})


class Maker:
    """Make batches at random."""

    def __init__(self, chance: random.Random, folder: Path, picture: str, host: str | None) -> None:
        """`folder` is for markers, `picture` the key of a stored image, `host` a web server, if one is up."""
        self._chance = chance
        self._folder = folder
        self._picture = picture
        self._host = host

    def make(self, kind: str) -> Submitted:
        """Make a batch of one of KINDS."""
        chance = self._chance
        sizes, weights = KINDS[kind]
        names = chance.choices(list(weights), list(weights.values()), k=chance.choice(sizes))
        request_id = str(uuid.UUID(int=chance.getrandbits(128)))
        options = batch_service_pb2.BatchOptions(
            operation="troubled",
            request_id=request_id,
            labels={LABEL: request_id},
            max_attempts=MAX_ATTEMPTS,
            priority=chance.randint(1, 10),
            skip_duplicates=kind == "repeating",
        )
        items = [self._item(index, DEEDS[name].make(chance, self._folder)) for index, name in enumerate(names)]
        deeds = [DEEDS[name] for name in names]
        if options.skip_duplicates:
            keys = [_content_key(one) for one in items]
            deeds = [
                deed if keys.index(key) == index else DUPLICATE
                for index, (deed, key) in enumerate(zip(deeds, keys, strict=True))
            ]
        request = batch_service_pb2.SubmitBatchRequest(options=options, items=items)
        return Submitted(kind, request, deeds, by_stream=chance.random() < BY_STREAM)

    def _item(self, index: int, metadata: dict[str, object]) -> types_pb2.BatchImageInput:
        draw = self._chance.random()
        if draw < 0.05:
            image = {"image_base64": pictures.data_url(pictures.drawn(self._chance.randrange(1, 10_000)))}
        elif draw < 0.15 and self._host is not None:
            image = {"image_url": f"{self._host}/picture"}
        else:
            image = {"object_key": self._picture}
        return item(item_id=f"item-{index}", metadata=metadata, **image)


def _content_key(one: types_pb2.BatchImageInput) -> tuple[str, ...]:
    return (one.image_url, one.image_base64, one.object_key, str(one.metadata))
