"""The likeness of an expected text to what was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_vision.verify.text import check_text, similarity

texts = st.text(st.sampled_from("abcdefgh 0123456789"), min_size=1, max_size=12).filter(str.strip)


@pytest.mark.parametrize(
    ("expected", "lines", "likeness"),
    [
        ("Annual report", ["ANNUAL REPORT 2024"], 1.0),
        ("annual report", ["The annual", "re-port."], 1.0),
        ("Crème brûlée", ["CREME BRULEE"], 1.0),
        ("Straße", ["STRASSE"], 1.0),
        ("ﬁnal", ["FINAL"], 1.0),
        ("東京", ["東京駅へ"], 1.0),
        ("東京中央駅", ["東京中史駅へ"], 0.8),
        ("kitchen", ["kitcken"], 1 - 1 / 7),
        ("kitchen", ["kichen"], 1 - 1 / 7),
        ("kitchen", ["kitxchen"], 1 - 1 / 7),
        ("kitchen", ["dog"], 0.0),
        ("cat", ["education"], 0.0),
        ("cat", ["the cat sat"], 1.0),
        ("cat", ["the car sat"], 1 - 1 / 3),
        ("AB 12", ["AB-12"], 1.0),
        ("serial 4711", ["serial 4712"], 0.5),
        ("serial 4711", ["serial 47115"], 0.5),
        ("serial 4711", ["serial 4711 5"], 1.0),
        ("12345", ["number 123456"], 0.0),
        ("12345", ["number 12345 6"], 1.0),
        ("invoice", [], 0.0),
        ("invoice", ["!?"], 0.0),
    ],
)
def test_likeness_is_of_letters_and_digits_alone_and_numbers_must_be_right(
    expected: str, lines: list[str], likeness: float
) -> None:
    assert similarity(expected, lines) == pytest.approx(likeness)


@given(texts, texts, texts)
def test_whatever_stands_around_it_a_text_is_found_where_it_is(before: str, expected: str, after: str) -> None:
    assert similarity(expected, [before, expected, after]) == 1.0


@given(texts, texts)
def test_likeness_is_a_share(expected: str, read: str) -> None:
    assert 0.0 <= similarity(expected, [read]) <= 1.0


def test_a_long_text_is_found_in_a_page_in_moderate_time() -> None:
    page = ["the quick brown fox jumps over the lazy dog"] * 120
    assert similarity("the slow brown fox jumps over the lazy cat " * 20, page) == pytest.approx(0.8, abs=0.1)


def test_verdicts_follow_the_likeness() -> None:
    assert check_text("annual report", ["Annual Report"], 0.85).verdict == "supported"
    assert check_text("annual report", ["Annual Repast"], 0.85).verdict == "cannot_tell"
    assert check_text("annual report", ["Annual Repast"], 0.8).verdict == "supported"
    assert check_text("annual report", ["No Entry"], 0.85).verdict == "contradicted"
    assert check_text("annual report", ["No Entry"], 0.2).verdict in ("supported", "cannot_tell")


@pytest.mark.parametrize(
    "expected", ["Счёт на оплату", "Τιμολόγιο", "חשבונית", "송장", "ใบแจ้งหนี้", "٤٧١١", "Invoice / Счёт", "Привет 東京"]
)
@pytest.mark.parametrize("lines", [["Page 1 of 3"], []])
def test_what_is_written_in_letters_that_are_not_read_is_not_contradicted(expected: str, lines: list[str]) -> None:
    check = check_text(expected, lines, 0.85)
    assert check.verdict == "cannot_tell"
    assert "only Latin, Chinese and Japanese writing is read" in check.detail


@pytest.mark.parametrize(
    "expected", ["Łódź, Ærø, Đà Nẵng, Straße", "請求書を発行", "ラーメン々〆", "①②③ ½ ﬁve", "resistor of 10 kΩ"]
)
def test_letters_that_are_read_and_few_others_are_held_against_what_was_read(expected: str) -> None:
    assert check_text(expected, ["Page"], 0.85).verdict == "contradicted"
    assert check_text(expected, [expected], 0.85).verdict == "supported"


def test_letters_that_are_not_read_count_by_the_similarity_that_is_asked() -> None:
    assert check_text("Invoice Счёт", ["No Entry"], 0.7).verdict == "cannot_tell"  # 7 of 11 at best
    assert check_text("Invoice Счёт", ["No Entry"], 0.6).verdict == "contradicted"
    assert check_text("10 kΩ", ["10 kΩ"], 0.85).verdict == "supported"


def test_without_any_text_nothing_is_contradicted() -> None:
    check = check_text("annual report", [], 0.85)
    assert (check.verdict, check.score) == ("cannot_tell", None)
