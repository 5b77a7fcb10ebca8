"""Frames: put together however they come in pieces, and refused when no child of ours sent them."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.model import Outcome
from imagebatch_server.executors.protocol.frames import (
    MAX_FRAME_BYTES,
    BadFrame,
    FrameReader,
    decode_from_child,
    decode_start,
    frame,
    read_chunk,
    read_start,
)
from imagebatch_server.executors.protocol.messages import (
    Begun,
    Chunk,
    Done,
    Ended,
    FromChild,
    Loaded,
    LoadFailed,
    Loading,
    Ready,
    Retiring,
    Start,
    Started,
    StoredImage,
    Task,
    Up,
)
from imagebatch_server.operations.configuration import Configuration

SAID: list[FromChild] = [
    Up(),
    Loading("noop"),
    Loaded(0.5),
    LoadFailed("noop", "why"),
    Ready(),
    Started(1),
    Done(Outcome(3, BatchItemStatus.SUCCESS, output_data=b"output", input_tokens=3), 0.25, next_started=True),
    Done(Outcome(3, BatchItemStatus.SUCCESS, output_data=b""), 0.25, StoredImage(b"\x89PNG", "1" * 64, "image/png")),
    Done(Outcome(3, BatchItemStatus.FAILED, ItemErrorCode.DECODE_FAILED, "cut off"), 0.25, transient=True),
    Begun(1),
    Ended(1, Done(Outcome(3, BatchItemStatus.SUCCESS, output_data=b"", image_sha256="0" * 64), 0.5)),
    Done(
        Outcome(4, BatchItemStatus.SUCCESS, output_data=b""), 0.25, StoredImage(bytes(200_000), "1" * 64, "image/png")
    ),
    Ended(2),
    Retiring(),
]


def hear(reader: FrameReader[FromChild], data: bytes) -> Iterator[FromChild]:
    """Have it receive this, in as many pieces as it has space for."""
    while data:
        size = min(len(reader.space), len(data))
        reader.space[:size] = data[:size]
        data = data[size:]
        yield from reader.received(size)


@given(st.lists(st.integers(1, 40), min_size=1))
def test_messages_are_put_together_from_pieces(sizes: list[int]) -> None:
    data = b"".join(frame(message) for message in SAID)
    reader = FrameReader(decode_from_child)
    heard: list[FromChild] = []
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        heard += hear(reader, data[at : at + size])
        at += size
    assert heard == SAID


@pytest.mark.parametrize("piece_bytes", [1_000, 65_536, 65_537, 1_000_000])
def test_large_messages_are_put_together_from_pieces_among_small_ones(piece_bytes: int) -> None:
    said = [large for image_bytes in (65_000, 65_500, 200_000, 300_000) for large in (*SAID, _with_image(image_bytes))]
    data = b"".join(frame(message) for message in said)
    reader = FrameReader(decode_from_child)
    pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]
    assert [message for piece in pieces for message in hear(reader, piece)] == said


def _with_image(size_bytes: int) -> FromChild:
    image = StoredImage(bytes(size_bytes), "1" * 64, "image/png")
    return Done(Outcome(4, BatchItemStatus.SUCCESS, output_data=b""), 0.25, image)


@pytest.mark.parametrize(
    "data",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "little"),
        b"\x01\0\0\0\xc1",
        frame(Start({}, [], 1, 1, False, Configuration(), False)),
        frame(Chunk("noop", None, [])),
        frame(Done(Outcome(3, BatchItemStatus.FAILED, ItemErrorCode.INTERNAL))).replace(b"internal", b"infernal"),
    ],
)
def test_what_no_child_says_is_refused_when_all_before_it_was_heard(data: bytes) -> None:
    heard = hear(FrameReader(decode_from_child), frame(Up()) + data)
    assert next(heard) == Up()
    with pytest.raises(BadFrame):
        next(heard)


def test_a_chunk_carries_its_images_behind_it() -> None:
    tasks = [Task(3, "image/png", b"meta", 5), Task(4, None, None, 0), Task(5, None, None, 2)]
    configuration = Configuration({"openai": {"base_url": "http://host/v1", "concurrency": 3, "model": None}})
    start = Start({"noop": "m:C"}, ["noop"], 7, 8, True, configuration, True)
    stream = io.BytesIO(frame(start) + frame(Chunk("noop", b"p", tasks)) + b"imageab")
    assert read_start(stream, decode_start) == start
    assert read_chunk(stream) == (Chunk("noop", b"p", tasks), [b"image", b"", b"ab"])
    assert read_chunk(stream) is None


@pytest.mark.parametrize("cut", [1, 3, 9, -1])
def test_a_chunk_that_is_cut_off_is_none(cut: int) -> None:
    data = frame(Chunk("noop", None, [Task(0, None, None, 5)])) + b"image"
    assert read_chunk(io.BytesIO(data[:cut])) is None
    assert read_start(io.BytesIO(data[:3]), decode_start) is None
