from __future__ import annotations

import pytest
import typer

from imagebatch_client.cli.render import size
from imagebatch_client.cli.units import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("1.5s", 1.5), ("500ms", 0.5), ("2m", 120), ("2 min", 120), ("1h30m", 5400), ("1d", 86400), ("0", 0)],
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "2x", "-1", "1h nonsense", "1..5", "nan", "inf"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time; write 90"):
        seconds(text)


def test_sizes() -> None:
    assert [size(n) for n in (0, 1023, 2048, 52_428_800, 3 * 2**30)] == [
        "0 bytes",
        "1023 bytes",
        "2 KiB",
        "50 MiB",
        "3 GiB",
    ]
