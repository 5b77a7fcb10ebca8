"""How many servers an operation shares the world with, as the server last told its child process."""

from __future__ import annotations

_count = 1


def server_count() -> int:
    """Answer how many servers there are now, this one among them.

    An asynchronous operation whose limit is for all of them, such as the rate of requests to a paid endpoint, divides
    it by this number each time anew.
    """
    return _count


def set_server_count(count: int) -> None:
    """Take note; for the child process."""
    global _count  # noqa: PLW0603 - there is one child a process
    _count = count
