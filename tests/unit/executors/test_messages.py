"""Frames: put together however they come in pieces, and refused when no child of ours sent them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.executors.messages import (
    MAX_FRAME_BYTES,
    BadFrame,
    Begun,
    Chunk,
    Done,
    Ended,
    FrameReader,
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
    frame,
    read_chunk,
    read_start,
)
from imagebatch_server.operations.configuration import Configuration, OpenAIEndpoint

SAID: list[FromChild] = [
    Up(),
    Loading("noop"),
    Loaded(0.5),
    LoadFailed("noop", "why"),
    Ready(),
    Started(1),
    Done(0.25, "0" * 64, output=b"output", next_started=True),
    Done(0.25, "0" * 64, output=b"", stored=StoredImage(b"\x89PNG", "1" * 64, "image/png")),
    Done(0.25, "0" * 64, error_code=ItemErrorCode.DECODE_FAILED, error_message="cut off", transient=True),
    Begun(1),
    Ended(1, Done(0.5, "0" * 64, output=b"", input_tokens=3, output_tokens=4)),
    Ended(2),
    Retiring(),
]


@given(st.lists(st.integers(1, 40), min_size=1))
def test_messages_are_put_together_from_pieces(sizes: list[int]) -> None:
    data = b"".join(frame(message) for message in SAID)
    reader = FrameReader()
    heard: list[FromChild] = []
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        heard += reader.feed(data[at : at + size])
        at += size
    assert heard == SAID


@pytest.mark.parametrize(
    "data",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "little"),
        b"\x01\0\0\0\xc1",
        frame(Start({}, [], 1, 1, False, Configuration())),
        frame(Chunk("noop", None, [])),
        frame(Done(0.1, "", error_code=ItemErrorCode.INTERNAL)).replace(b"internal", b"infernal"),
    ],
)
def test_what_no_child_says_is_refused_when_all_before_it_was_heard(data: bytes) -> None:
    heard = FrameReader().feed(frame(Up()) + data)
    assert next(heard) == Up()
    with pytest.raises(BadFrame):
        next(heard)


def test_a_chunk_carries_its_images_behind_it() -> None:
    tasks = [Task(3, "image/png", b"meta", 5), Task(4, None, None, 0), Task(5, None, None, 2)]
    endpoint = OpenAIEndpoint("http://host/v1", "model", "key", 3, 60.0)
    start = Start({"noop": "m:C"}, ["noop"], 7, 8, True, Configuration(openai=endpoint))
    stream = io.BytesIO(frame(start) + frame(Chunk("noop", b"p", tasks)) + b"imageab")
    assert read_start(stream) == start
    assert read_chunk(stream) == (Chunk("noop", b"p", tasks), [b"image", b"", b"ab"])
    assert read_chunk(stream) is None


@pytest.mark.parametrize("cut", [1, 3, 9, -1])
def test_a_chunk_that_is_cut_off_is_none(cut: int) -> None:
    data = frame(Chunk("noop", None, [Task(0, None, None, 5)])) + b"image"
    assert read_chunk(io.BytesIO(data[:cut])) is None
    assert read_start(io.BytesIO(data[:3])) is None
