"""A worker's channel hears each word of its child once, sent or not, whenever the child stops."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_server.executors.processes.channel import Channel
from imagebatch_server.executors.protocol.frames import decode_from_child, frame
from imagebatch_server.executors.protocol.messages import FromChild, Loading
from imagebatch_server.executors.protocol.outbox import Outbox, new_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="outboxes are in a memfd")

WORDS = [Loading(f"word {number}" * number) for number in range(20)]


class Child:
    """A child's end of a channel, and what the worker's end hears."""

    def __init__(self) -> None:
        fd = new_memory()
        assert fd is not None
        end, self.socket = socket.socketpair()
        self.outbox = Outbox(fd)
        self.heard: list[FromChild] = []
        self.closed: list[str | None] = []
        self.channel = Channel(end, decode_from_child, self.heard.append, lambda: None, self.closed.append, Outbox(fd))
        os.close(fd)


@given(st.integers(0, len(b"".join(map(frame, WORDS)))), st.integers(0, len(WORDS)))
async def test_a_child_that_is_gone_is_heard_to_its_last_word(sent_bytes: int, said_words: int) -> None:
    child = Child()
    said = b"".join(map(frame, WORDS[:said_words]))
    child.outbox.write(said, 0)
    child.socket.sendall(said[:sent_bytes])
    child.socket.close()
    for _ in range(2):  # what was sent, and the end
        child.channel.drain()
    assert child.heard == WORDS[:said_words]
    assert child.closed == [None]


async def test_what_was_heard_ahead_is_not_heard_again() -> None:
    child = Child()
    said = b"".join(map(frame, WORDS[:5]))
    child.outbox.write(said, 0)
    assert not child.channel.look(), "it may be saying more at this moment"
    assert child.heard == []
    assert child.channel.look()
    assert child.heard == WORDS[:5]
    child.socket.sendall(said + frame(WORDS[5]))
    child.channel.drain()
    assert child.heard == WORDS[:6]
    child.channel.close()
    child.socket.close()
