"""What a model said: whatever it is, it is read or refused, and quickly."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from imagebatch_vision.endpoint.answer_form import NoAnswer, Share, read_form, without_thoughts


class Form(BaseModel):
    words: str
    sure: Share = 0.5


prose = st.text(st.characters(exclude_characters="{}[]<>`~◁▷|"))


@given(st.text(), prose, prose)
def test_an_answer_between_other_words_is_found(words: str, before: str, after: str) -> None:
    said = json.dumps({"words": words})
    assert read_form(f"{before}{said}{after}", Form).words == words
    assert read_form(f"{before}\n```json\n{said}\n```\n{after}", Form).words == words
    assert read_form(f"<think>{before}</think>{said}", Form).words == words


@given(st.text())
def test_whatever_is_said_is_an_answer_or_none(text: str) -> None:
    with suppress(NoAnswer):
        assert isinstance(read_form(text, Form), Form)


@given(st.text(alphabet='{}[]",:\\`<>/think \n'))
def test_whatever_looks_like_an_answer_is_one_or_none(text: str) -> None:
    with suppress(NoAnswer):
        assert isinstance(read_form(text, Form), Form)


@pytest.mark.parametrize("piece", ["{", "[", '{"', "```", "<think>", "</think>", ",}", '{"a":', "\\"])
def test_a_hostile_answer_takes_no_time(piece: str) -> None:
    began_s = time.process_time()
    with pytest.raises(NoAnswer):
        read_form(piece * (250_000 // len(piece)), Form)
    assert time.process_time() - began_s < 2.0


def test_what_no_output_may_have_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="it has 300,016 characters, above 262,144"):
        read_form(json.dumps({"words": "x" * 300_000}) + " " * 3, Form)


def test_a_tag_within_the_answer_is_no_thought() -> None:
    assert read_form('{"words": "<think>x</think>"}', Form).words == "<think>x</think>"


def test_thoughts_are_left_out() -> None:
    assert without_thoughts("<think>a</think> b") == " b"
    assert without_thoughts("a</think>b") == "b"
    assert without_thoughts("◁think▷a◁/think▷b") == "b"
    assert without_thoughts("<think>a") == ""
    assert without_thoughts("b") == "b"
