"""Sentences say what was found, as a person would put it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from imagebatch_vision.describe.calibration import CEILING
from imagebatch_vision.describe.colours import Colour, Palette
from imagebatch_vision.describe.reader import Line
from imagebatch_vision.describe.sentence import Findings, compose
from imagebatch_vision.describe.statements import Statement

CAT = Statement("tabby cat", "a tabby cat", 0.91, area=0.5)
SOFA = Statement("sofa", "a sofa", 0.95, area=0.4)
BROWN = Palette((Colour("brown", "#8a5a3a", 0.5), Colour("white", "#f0f0f0", 0.3)), is_grey=False)

PLAIN = Findings(
    medium="photograph",
    statements=(),
    best_guess=0.41,
    lines=(),
    is_cut=False,
    palette=BROWN,
    verdicts=(),
    width=640,
    height=480,
    frame_count=1,
    captured_at=None,
)


def test_a_recognised_subject_is_named_with_its_confidence() -> None:
    sentence = compose(replace(PLAIN, statements=(CAT,), best_guess=0.91))

    assert sentence.text == "A photograph of a tabby cat, mostly brown and white."
    assert sentence.confidence == 0.91


def test_what_is_less_sure_only_looks_like_it() -> None:
    sentence = compose(replace(PLAIN, statements=(replace(CAT, confidence=0.8), SOFA)))

    assert sentence.text == "A photograph of what looks like a tabby cat with a sofa, mostly brown and white."
    assert sentence.confidence == 0.8


def test_a_small_thing_is_not_made_the_subject() -> None:
    sentence = compose(replace(PLAIN, statements=(Statement("kite", "a kite", 0.93, area=0.01),)))

    assert sentence.text == (
        "A photograph, mostly brown and white, in which a kite can be made out; the rest was not recognised."
    )


def test_the_capture_time_is_the_camera_s_word_and_left_out_where_its_clock_was_never_set() -> None:
    taken = replace(PLAIN, statements=(CAT,), captured_at=datetime(2024, 5, 3, 14, 30))  # noqa: DTZ001 (a camera's)
    never_set = replace(taken, captured_at=datetime(1980, 1, 1))  # noqa: DTZ001

    assert compose(taken).text.endswith(" and white. Taken on 3 May 2024, by the camera's clock.")
    assert "Taken" not in compose(never_set).text


def test_text_that_was_not_read_is_mentioned() -> None:
    lines = [Line("one", 0.9), Line("two", 0.9)]

    assert compose(replace(PLAIN, lines=lines, is_cut=True)).text.endswith('"one", "two" and more that was not read.')
    page = compose(replace(PLAIN, medium="page", lines=lines, is_cut=True)).text
    assert page.endswith('"one two". Only part of it was read.')


def test_an_unrecognised_subject_is_admitted_and_the_guess_left_unsaid() -> None:
    sentence = compose(PLAIN)

    assert sentence.text == ("A photograph, mostly brown and white, 640 by 480 pixels; the subject was not recognised.")
    assert sentence.confidence == 0.41


def test_the_weakest_statement_gives_the_confidence() -> None:
    sentence = compose(replace(PLAIN, statements=(CAT,), lines=(Line("NO ENTRY", 0.67), Line("barely legible", 0.4))))

    assert sentence.text.endswith(' It shows the text "NO ENTRY".')
    assert sentence.confidence == 0.67


def test_many_lines_are_counted_and_long_ones_cut() -> None:
    lines = [Line("one", 0.9), Line("two", 0.9), Line("word " * 40, 0.9), Line("four", 0.9), Line("five", 0.9)]

    text = compose(replace(PLAIN, lines=lines)).text

    assert 'It shows the text "one", "two", "word word' in text
    assert text.endswith('…" and 2 more lines.')
    assert len(text) < 300


def test_quality_and_lack_of_colour_come_first() -> None:
    grey = Palette((Colour("grey", "#808080", 1.0),), is_grey=True)

    text = compose(replace(PLAIN, statements=(CAT,), palette=grey, verdicts=("blurred", "dark"))).text

    assert text == "A blurred, dark, black-and-white photograph of a tabby cat."


def test_the_article_fits() -> None:
    assert compose(replace(PLAIN, verdicts=("overexposed",))).text.startswith("An overexposed photograph")
    assert compose(replace(PLAIN, medium="unknown")).text.startswith("An image,")


def test_shades_of_one_hue_are_named_once() -> None:
    shades = Palette(
        (Colour("grey", "#808080", 0.4), Colour("dark grey", "#404040", 0.3), Colour("red", "#ff0000", 0.2)),
        is_grey=False,
    )

    assert ", mostly grey and red." in compose(replace(PLAIN, statements=(CAT,), palette=shades)).text


def test_many_small_colours_are_said_to_be_some_of_many() -> None:
    many = Palette(tuple(Colour(name, "#000000", 0.1) for name in ("red", "green", "blue", "pink")), is_grey=False)

    assert (
        ", in red, green and blue among other colours." in compose(replace(PLAIN, statements=(CAT,), palette=many)).text
    )
    assert ", in many colours." in compose(replace(PLAIN, statements=(CAT,), palette=Palette((), is_grey=False))).text


def test_a_page_says_how_it_begins() -> None:
    lines = [
        Line('He said "yes".', 0.94),
        Line("Then he left the room and was not seen again " * 3, 0.8),
        Line("End", 0.2),
    ]

    sentence = compose(replace(PLAIN, medium="page", lines=lines))

    assert sentence.text.startswith("A page of text that begins \"He said 'yes'. Then he left")
    assert sentence.text.endswith('…".')
    assert sentence.confidence == 0.8


def test_a_page_that_can_not_be_quoted_is_still_described() -> None:
    sentence = compose(replace(PLAIN, medium="page", lines=[Line("barely", 0.3), Line("legible", 0.4)]))

    assert sentence.text == "A page of text, no line of which was read with certainty."
    assert sentence.confidence == 0.4


@pytest.mark.parametrize(("lines", "confidence"), [((), 0.0), ((Line("Total: 12", 0.94),), 0.94)])
def test_a_drawing_has_only_its_text_to_be_sure_of(lines: tuple[Line, ...], confidence: float) -> None:
    sentence = compose(replace(PLAIN, medium="graphic", best_guess=0.0, lines=lines))

    assert sentence.text.startswith("A drawing, chart or screenshot, mostly brown and white")
    assert sentence.confidence == confidence <= CEILING


def test_a_blank_image_is_certain() -> None:
    white = Palette((Colour("white", "#ffffff", 1.0),), is_grey=True)

    sentence = compose(replace(PLAIN, medium="blank", palette=white, best_guess=0.0))

    assert (sentence.text, sentence.confidence) == ("A blank image, plain white.", 1.0)


def test_frames_that_were_not_looked_at_are_mentioned() -> None:
    text = compose(replace(PLAIN, statements=(CAT,), frame_count=12)).text

    assert text.endswith(" It is the first of 12 frames; the others were not looked at.")
