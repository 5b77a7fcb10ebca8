from __future__ import annotations

import pytest

from imagebatch_server.http.ranges import Unsatisfiable, part


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=2-5", range(2, 6)),
        ("bytes=2-", range(2, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-30", range(10)),
        ("bytes=4-99", range(4, 10)),
        (" Bytes = 4 - 5 ", range(4, 6)),
    ],
)
def test_a_part_is_read(header: str, wanted: range) -> None:
    assert part(header, 10) == wanted


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=1-" + "9" * 30],
)
def test_what_is_no_part_is_all_of_it(header: str | None) -> None:
    assert part(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_part_behind_the_end_is_none(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        part(header, size)
