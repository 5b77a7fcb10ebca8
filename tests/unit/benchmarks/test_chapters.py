"""The page on quality: a chapter measured anew leaves the others as they are."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality import chapters


def test_a_chapter_takes_the_place_of_its_old_text_only(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    chapters.write(chapters.SPEED, "fast\n", path)
    chapters.write(chapters.DESCRIBE, "\n## Recognition\n\nwell\n\n", path)
    chapters.write(chapters.SPEED, "faster", path)
    assert path.read_text() == f"# {chapters.DESCRIBE}\n\n## Recognition\n\nwell\n\n# {chapters.SPEED}\n\nfaster\n"


def test_the_page_that_is_checked_in_is_made_of_chapters(tmp_path: Path) -> None:
    page = chapters.RESULTS.read_text()
    copy = tmp_path / "RESULTS.md"
    copy.write_text(page)
    title = page.splitlines()[0].removeprefix("# ")
    text = page.split("\n# ")[0].partition("\n")[2]
    chapters.write(title, text, copy)
    assert copy.read_text() == page
