"""An export goes on where it was ended, whatever ended it, and its file is whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.client.export.items import BATCH_ID, LOOK, batch, item, page

from imagebatch_client import BatchExport, BatchItemStatus, InvalidRequestError
from imagebatch_client.errors import IncompatibleServerError
from imagebatch_client.export import export as core
from imagebatch_client.export.export import Export

ITEMS = [
    item(index, status=BatchItemStatus.PENDING if index % 5 == 4 else BatchItemStatus.SUCCESS,
         output_data={"description": f"Räksmörgås {index}\n" * index})
    for index in range(11)
]  # fmt: skip
TEXTS = [".csv", ".jsonl", ".html"]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def saved_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "_SAVED_ITEMS", 4)


def run(
    path: Path, *, batch_id: str = BATCH_ID, replaces: bool = False, asked: list[int] | None = None, pages: int = 99
) -> BatchExport | None:
    """Export in pages of two items; leave it after so many."""
    with Export(batch_id, path, replaces=replaces) as export:
        if not export.is_begun:
            export.begin(batch(len(ITEMS)), [LOOK])
        while export.has_more:
            if pages == 0:
                return None
            pages -= 1
            if asked is not None:
                asked.append(export.offset)
            export.write(page(ITEMS, export.offset, 2), {})
        return export.finish()


@pytest.mark.parametrize("suffix", TEXTS)
def test_an_export_is_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    assert run(path) == BatchExport(str(path), 11, 11, 2)
    assert list(tmp_path.iterdir()) == [path]
    text = path.read_text(encoding="utf-8")
    assert [text.count(f'id-{index}"') > 0 or f">id-{index}<" in text for index in range(11)] == [True] * 11


@pytest.mark.parametrize("pages", range(7))
@pytest.mark.parametrize("suffix", TEXTS)
def test_a_repeat_goes_on(tmp_path: Path, suffix: str, pages: int) -> None:
    run(tmp_path / f"whole{suffix}")
    path, asked = tmp_path / f"out{suffix}", list[int]()
    assert (run(path, pages=pages) is None) == (pages < 6)
    if pages < 6:
        assert not path.exists()
        done = run(path, asked=asked)
        assert asked[0] == pages // 2 * 4
        assert done == BatchExport(str(path), 11, 11, 2)
    assert path.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


STEPS: list[tuple[Any, str]] = [
    (os, "fsync"),
    *((Path, name) for name in ("mkdir", "replace", "unlink", "rmdir", "write_text")),
]


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let the process end before its so-manieth step on the disk; answers the steps, as they come."""
    steps: list[str] = []

    def before(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            steps.append(name)
            if len(steps) > step:
                raise Killed
            return real(*arguments, **named)

        return call

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, before(name, getattr(owner, name)))
    return steps


@pytest.mark.parametrize("suffix", TEXTS)
def test_killed_at_any_step_it_leaves_the_whole_file_or_none(tmp_path: Path, suffix: str) -> None:
    run(tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    for step in range(100):
        path = tmp_path / str(step) / f"out{suffix}"
        path.parent.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            steps = killed_at(patch, step)
            try:
                run(path)
            except Killed:
                pass
            else:
                break
        if path.exists():
            assert path.read_bytes() == whole
            with pytest.raises(InvalidRequestError, match="is there already"):
                run(path)
        run(path, replaces=path.exists())
        assert path.read_bytes() == whole
        assert list(path.parent.iterdir()) == [path]
    else:
        pytest.fail("it never came to its end")
    assert len(steps) > 15


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize("spoil", ["longer", "shorter", "gone", "cursor"])
def test_what_is_not_as_the_cursor_says_is_cut_or_written_again(tmp_path: Path, suffix: str, spoil: str) -> None:
    run(tmp_path / f"whole{suffix}")
    path, asked = tmp_path / f"out{suffix}", list[int]()
    run(path, pages=3)
    rows = tmp_path / f"out{suffix}.part" / "rows"
    if spoil == "longer":
        rows.write_bytes(rows.read_bytes() + b"half a li")
    elif spoil == "shorter":
        rows.write_bytes(rows.read_bytes()[:10])
    elif spoil == "gone":
        rows.unlink()
    else:
        rows.with_name("cursor.json").write_text("{")
    run(path, asked=asked)
    assert asked[0] == (4 if spoil == "longer" else 0)
    assert path.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_another_version_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "out.csv", pages=3)
    monkeypatch.setattr("imagebatch_client.export.cursor._version", lambda: "99")
    asked: list[int] = []
    run(tmp_path / "out.csv", asked=asked)
    assert asked[0] == 0


def test_the_columns_stay_those_of_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    run(path, pages=3)
    with Export(BATCH_ID, path, replaces=False) as export:
        assert export.is_begun  # so that the operation is not asked for again
    run(path)
    assert '"output.description"' in path.read_text(encoding="utf-8-sig").splitlines()[0]


def test_nothing_is_written_over_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("mine")
    with pytest.raises(InvalidRequestError, match="is there already"):
        run(path)
    assert path.read_text() == "mine"
    run(path, replaces=True)
    assert len(path.read_text().splitlines()) == 11


def test_another_batchs_started_export_is_kept(tmp_path: Path) -> None:
    path, other, asked = tmp_path / "out.jsonl", "01931c0e-7d2a-7cc3-98c4-dc0c0c0739b2", list[int]()
    run(path, pages=3)
    with pytest.raises(InvalidRequestError, match=f"a started export of batch {BATCH_ID}"):
        run(path, batch_id=other)
    run(path, pages=3, batch_id=other, replaces=True)
    with pytest.raises(InvalidRequestError, match=f"a started export of batch {other}"):
        run(path)
    run(path, batch_id=other, asked=asked)
    assert asked[0] == 4


def test_a_folder_that_is_no_exports_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out.jsonl.part"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    for replaces in (False, True):
        with pytest.raises(InvalidRequestError, match="is no started export; move it away"):
            run(tmp_path / "out.jsonl", replaces=replaces)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_two_at_a_time_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Export(BATCH_ID, path, replaces=False) as first:
        first.begin(batch(len(ITEMS)), [LOOK])
        first.write(page(ITEMS, 0, 2), {})
        with pytest.raises(InvalidRequestError, match="another process exports to it"):
            run(path)
    run(path)
    assert len(path.read_text().splitlines()) == 11


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("out.xlsx", r"ends in none of \.parquet, \.csv, \.jsonl, \.html, which say the format"),
        ("out", "ends in none of"),
        ("folder.csv", "is a folder; give a file"),
        ("none/out.csv", "can't be written: No such file or directory; give another name"),
    ],
)
def test_a_path_that_can_not_be_exported_to(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidRequestError, match=told) as caught:
        run(tmp_path / name)
    assert [violation.field for violation in caught.value.violations] == ["path"]


def test_what_is_no_path(tmp_path: Path) -> None:
    not_a_path: Any = 3
    with pytest.raises(InvalidRequestError, match="path: is int; give the path of a file"):
        Export(BATCH_ID, not_a_path, replaces=False)


def test_parquet_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "find_spec", lambda name: None)
    with pytest.raises(InvalidRequestError, match=r"pip install 'imagebatch-client\[export\]'"):
        run(tmp_path / "out.parquet")


def test_a_page_of_html_has_a_limit(tmp_path: Path) -> None:
    with (
        Export(BATCH_ID, tmp_path / "out.html", replaces=False) as export,
        pytest.raises(InvalidRequestError, match=r"at most 10,000 items, and this batch has 10,001; export it as"),
    ):
        export.begin(batch(10_001), [LOOK])
    assert list(tmp_path.iterdir()) == []


def test_fewer_items_than_the_batch_has_are_no_export(tmp_path: Path) -> None:
    with Export(BATCH_ID, tmp_path / "out.csv", replaces=False) as export:
        export.begin(batch(12), [LOOK])
        while export.has_more:
            export.write(page(ITEMS, export.offset, 4), {})
        with pytest.raises(IncompatibleServerError, match="item 11 is the last of 12"):
            export.finish()
    assert not (tmp_path / "out.csv").exists()
