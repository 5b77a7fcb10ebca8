"""An outbox: what was said and not sent is there, wherever in the ring it lies, and can't be taken away."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_server.executors.protocol.outbox import OUTBOX_BYTES, Outbox, new_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="outboxes are in a memfd")


@given(st.lists(st.integers(0, OUTBOX_BYTES), min_size=1, max_size=6), st.integers(0, 2**40))
def test_the_last_bytes_are_read_by_another_who_maps_it(sizes: list[int], at: int) -> None:
    fd = new_memory()
    assert fd is not None
    child, worker = Outbox(fd), Outbox(fd)
    os.close(fd)
    for number, size in enumerate(sizes):
        said = bytes((number + position) % 251 for position in range(size))
        child.write(said, at)
        assert worker.said == at + size
        assert worker.read(at, at + size) == said
        at += size
    child.close()
    worker.close()


def test_a_child_can_t_shrink_it() -> None:
    fd = new_memory()
    assert fd is not None
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)
