from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_client import InvalidRequestError
from imagebatch_client.cli.entries import ImageUrl
from imagebatch_client.cli.sources import Choice, find_sources
from imagebatch_client.files import ImageFile, item_ids


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
        ("ftp://example.com/a.jpg", "does not exist; URLs begin with http:// or https://"),
        ("notes.txt", "notes.txt is no image by its name; images end in .jpg"),
        ("empty", "empty has no images in it"),
    ],
)
def test_what_is_no_image_is_named(folder: Path, typed: str, words: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InvalidRequestError, match=re.escape(words)):
        find_sources([typed if "://" in typed else str(folder / typed)])


def test_an_empty_path_does_not_mean_the_folder_that_one_is_in() -> None:
    with pytest.raises(InvalidRequestError, match=r"PATH: is empty; give image files or folders, \. for the current"):
        find_sources([""])


@contextmanager
def as_somebody() -> Iterator[None]:
    """As a user who may not read everything; tests may be run by one who may."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_an_unreadable_folder_is_said_and_can_be_left_out() -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "a.jpg").write_bytes(b"")
        (folder / "private").mkdir(mode=0o000)
        with (
            as_somebody(),
            pytest.raises(InvalidRequestError, match=r"private can't be read: Permission denied; make it"),
        ):
            find_sources([made])
        with as_somebody():
            assert [source.name for source in find_sources([made], Choice(exclude=["private"]))] == ["a.jpg"]  # type: ignore[union-attr]


def test_a_link_to_a_folder_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "linked").symlink_to(folder / "sub")
    assert names(folder) == ["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/e.tiff"]
    assert (
        f"{folder / 'linked'} is a link to a folder and is passed over; name it to include it"
        in capsys.readouterr().err
    )
    assert names(folder / "linked") == ["c.webp", "deep/e.tiff"]


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        (["*.webp"], [], ["sub/c.webp"]),
        (["*.txt"], [], ["notes.txt"]),
        (["sub/*"], [], ["sub/c.webp", "sub/deep/e.tiff"]),
        ([], ["sub"], ["a.PNG", "b.jpg"]),
        ([], ["sub/deep/"], ["a.PNG", "b.jpg", "sub/c.webp"]),
        ([], ["*.jpg", "*.tiff"], ["a.PNG", "sub/c.webp"]),
        (["*.jpg", "*.webp"], ["sub/*"], ["b.jpg"]),
    ],
)
def test_patterns_choose_among_a_folders_files(
    folder: Path, include: list[str], exclude: list[str], found: list[str]
) -> None:
    sources = find_sources([str(folder)], Choice(include, exclude))
    assert [source.name for source in sources if isinstance(source, ImageFile)] == found


def test_patterns_that_match_nothing_are_said(folder: Path) -> None:
    with pytest.raises(InvalidRequestError, match="nothing there matches --include and --exclude"):
        find_sources([str(folder)], Choice(include=["*.bmp"]))


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


def test_an_empty_list_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    with pytest.raises(InvalidRequestError, match="PATH: the list on standard input is empty"):
        find_sources(["-"])
