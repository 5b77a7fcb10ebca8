"""docs/formats.md says what happens."""

from __future__ import annotations

import pytest

from imagebatch_server.images.formats import FORMATS


def test_the_table_is_what_reading_each_kind_gives() -> None:
    for module in ("pi_heif", "pillow_heif", "pylibjxl"):
        pytest.importorskip(module)
    from tests.unit.images.formats_page import BEGIN, END, PAGE, table

    written = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert written == table(), "run python -m tests.unit.images.formats_page"


def test_each_format_has_its_name_on_the_page() -> None:
    from tests.unit.images.formats_page import PAGE

    page = PAGE.read_text()
    assert [name for name in FORMATS if f"`{name}`" not in page] == []
