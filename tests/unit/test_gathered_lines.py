"""One line at once, and one for all that follow."""

from __future__ import annotations

import asyncio

from imagebatch_server.gathered_lines import GatheredLines

SOON_S = 0.01
NEVER_S = 3_600.0


class Written:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []
        self.came = asyncio.Event()

    def __call__(self, one: str, left_out: int) -> None:
        self.lines.append((one, left_out))
        self.came.set()

    async def next(self) -> None:
        self.came.clear()
        async with asyncio.timeout(10):
            await self.came.wait()


async def test_the_first_of_each_kind_is_written_at_once() -> None:
    written = Written()
    gathered = GatheredLines(written, NEVER_S)
    gathered.add("a", "a1")
    gathered.add("b", "b1")
    gathered.add("a", "a2")
    assert written.lines == [("a1", 0), ("b1", 0)]


async def test_the_last_of_those_that_follow_is_written_when_the_time_is_up() -> None:
    written = Written()
    gathered = GatheredLines(written, SOON_S)
    for number in range(4):
        gathered.add("a", f"a{number}")
    await written.next()
    assert written.lines == [("a0", 0), ("a3", 2)]
    gathered.add("a", "a4")  # within the time that began with that line
    await written.next()
    assert written.lines[2:] == [("a4", 0)]


async def test_after_a_quiet_time_a_kind_is_forgotten() -> None:
    written = Written()
    gathered = GatheredLines(written, SOON_S)
    gathered.add("a", "a0")
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * SOON_S, later.set)  # a loop's timers come in the order of their times
    await later.wait()
    gathered.add("a", "a1")
    assert written.lines == [("a0", 0), ("a1", 0)]


async def test_closing_writes_what_waits() -> None:
    written = Written()
    gathered = GatheredLines(written, NEVER_S)
    for number in range(3):
        gathered.add("a", f"a{number}")
    gathered.close()
    gathered.close()
    assert written.lines == [("a0", 0), ("a2", 1)]


async def test_without_a_time_each_is_written() -> None:
    written = Written()
    gathered = GatheredLines(written, 0.0)
    for number in range(3):
        gathered.add("a", f"a{number}")
    assert written.lines == [("a0", 0), ("a1", 0), ("a2", 0)]
