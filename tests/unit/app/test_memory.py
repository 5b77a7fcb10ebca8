"""The server's budgets fit into the limit on its memory, whatever that is."""

from __future__ import annotations

import pytest

from imagebatch_server.app.memory import MemoryLimit, TooLittleMemory, find_limit, share_out
from imagebatch_server.app.settings import Settings

GIB = 2**30


def test_a_large_limit_leaves_the_budgets_as_they_are_set() -> None:
    settings = Settings(workers=2)
    memory = share_out(MemoryLimit(64 * GIB, "the machine's memory"), settings)
    assert not memory.is_short
    assert (memory.requests, memory.fetch) == (settings.request_memory_bytes, settings.fetch_memory_bytes)
    assert memory.max_request == settings.max_request_bytes


@pytest.mark.parametrize("of_one_process", [True, False])
def test_a_small_limit_lowers_all_of_them_alike(of_one_process: bool) -> None:
    settings = Settings(workers=1)
    large = share_out(MemoryLimit(64 * GIB, "ulimit -d", of_one_process), settings)
    small_bytes = large.used + large.children + GIB  # beside what the tests themselves have taken
    memory = share_out(MemoryLimit(small_bytes, "ulimit -d", of_one_process), settings)
    assert memory.is_short
    assert memory.total < memory.limit
    assert memory.requests / settings.request_memory_bytes == pytest.approx(memory.fetch / settings.fetch_memory_bytes)
    assert (memory.children == 0) == of_one_process


def test_a_limit_that_leaves_nothing_is_refused_with_what_would_do() -> None:
    with pytest.raises(TooLittleMemory, match=r"ulimit -d allows 100000000 bytes .* this server needs \d+ "):
        share_out(MemoryLimit(100_000_000, "ulimit -d", is_of_one_process=True), Settings())


def test_there_is_always_a_limit() -> None:
    assert find_limit().limit_bytes > 0
