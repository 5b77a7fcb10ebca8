from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_client import InvalidRequestError
from imagebatch_client.cli.sources import ImageFile, ImageUrl, find_sources, item_ids


def names(*typed: str | Path) -> list[str]:
    return [source.name for source in find_sources(map(str, typed)) if isinstance(source, ImageFile)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/c.webp", ".git/d.jpg", "sub/deep/e.tiff"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


def test_a_folder_is_searched_below_in_order_without_hidden_and_other_files(folder: Path) -> None:
    assert names(folder) == ["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/e.tiff"]


def test_files_folders_and_urls_keep_the_order_in_which_they_were_typed(folder: Path) -> None:
    found = find_sources(["HTTPS://example.com/x", str(folder / "b.jpg"), str(folder / "sub" / "deep")])
    assert found[0] == ImageUrl("HTTPS://example.com/x")
    assert [source.name for source in found[1:] if isinstance(source, ImageFile)] == ["b.jpg", "e.tiff"]


def test_a_dash_reads_a_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{folder / 'b.jpg'}\n\nhttp://example.com/a.jpg\r\n"))
    assert find_sources(["-"]) == [ImageFile(folder / "b.jpg", "b.jpg"), ImageUrl("http://example.com/a.jpg")]


def test_a_file_without_an_ending_is_taken_at_its_word(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"")
    assert names(tmp_path / "picture") == ["picture"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("missing.jpg", "missing.jpg does not exist"),
        ("notes.txt", "notes.txt is no image by its name; images end in .jpg"),
        ("empty", "empty has no images in it"),
    ],
)
def test_what_is_no_image_is_named(folder: Path, typed: str, words: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InvalidRequestError, match=re.escape(words)):
        find_sources([str(folder / typed)])


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps file names in UTF-8")
def test_a_name_that_is_not_utf8_becomes_one_that_can_be_sent(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    (source,) = find_sources([str(tmp_path)])
    assert isinstance(source, ImageFile)
    assert source.name == "caf\ufffd.jpg"
    assert source.path.exists()


def test_item_ids_read_like_the_names() -> None:
    assert item_ids(["a/cat.jpg", "räksmörgås 1.jpg", "a cat.jpg", "a?cat.jpg"]) == [
        *("a/cat.jpg", "r_ksm_rg_s_1.jpg", "a_cat.jpg", "a_cat.jpg-2")
    ]


@given(st.lists(st.text(min_size=1, max_size=300) | st.sampled_from(["a", "a-2", "a-3", "x" * 128]), max_size=30))
def test_item_ids_are_always_allowed_and_unique(typed: list[str]) -> None:
    ids = item_ids(typed)
    assert len(set(ids)) == len(typed)
    assert all(re.fullmatch(r"[A-Za-z0-9_.:/-]{1,128}", each) for each in ids)
