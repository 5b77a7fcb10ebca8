"""Texts of images, files and servers can't drive the terminal, whichever way they reach it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_client import texts
from imagebatch_client.cli import render, terminal

STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0001]"
)
HOSTILE = [
    *("\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "\x9d0;x\x9c", "a\rb", "a\bb", "\x7f", "\u202egpj.exe", "\u2066x\u2069"),
    *("a\u2028b", "\u200erights", "\ufeff", "\ud800", "\ue000", "\U000e0041", "\u061c"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_made_harmless(text: str) -> None:
    assert not STEERING.search(texts.one_line(f"a{text}b"))
    escaped = render.as_json({"text": text})
    assert not STEERING.search(escaped)
    assert json.loads(escaped) == {"text": text}


@given(st.text())
def test_any_text_is_made_harmless_and_json_loses_nothing(text: str) -> None:
    assert not STEERING.search(texts.one_line(text))
    assert not STEERING.search(render.as_json([text]))
    assert json.loads(render.as_json([text])) == [text]


@pytest.mark.parametrize("text", ["räksmörgås", "日本語", "👩‍👩‍👧", "می‌خواهم", "two  spaces", "a/b\\c"])
def test_what_people_write_stays(text: str) -> None:
    assert texts.one_line(text) == text
    assert text.replace("\\", "\\\\") in render.as_json(text)


def test_what_is_written_is_safe_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.put("one\x1b[2J\n  two\u202e")
    terminal.note("three\x9b1m\nfour")
    written: Any = capsys.readouterr()
    assert written.out == "one [2J\n  two \n"
    assert written.err == "three 1m\nfour\n"
