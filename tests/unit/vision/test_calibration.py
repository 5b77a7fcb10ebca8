"""Confidences: monotone, consistent from the narrow word to the wide one, and stated only from a bar on."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_vision.describe.calibration import (
    CEILING,
    FACE,
    PLAIN_FROM,
    STATED_FROM,
    SURE_FROM,
    Suggestion,
    conflict,
    most_telling,
    of_both,
    of_class,
    of_person,
    of_thing,
    rivalry,
)
from imagebatch_vision.describe.labels import LABELS_PATH, Term, Vocabulary, load_vocabulary

Curve = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]
TAGGED_LEAST = 0.5


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


@pytest.mark.parametrize("curve", [of_class, of_thing, lambda values: of_both(values, values)])
@given(values=st.lists(st.floats(0.0, 1.0, width=32), min_size=2, max_size=50))
def test_calibration_keeps_the_order_and_never_promises_certainty(curve: Curve, values: list[float]) -> None:
    calibrated = curve(np.array(sorted(values), dtype=np.float32))

    assert (np.diff(calibrated) >= 0).all()
    assert calibrated.min() >= 0.0
    assert calibrated.max() <= CEILING


def test_the_curves_pass_where_their_description_says() -> None:
    half = np.array([0.5], dtype=np.float32)

    assert of_class(half)[0] == pytest.approx(0.791, abs=0.001)
    assert of_thing(half)[0] == pytest.approx(0.694, abs=0.001)
    assert of_both(half, half)[0] == pytest.approx(0.905, abs=0.001)
    assert of_person(0.5, best_face=0.0) == pytest.approx(0.925, abs=0.001)


def test_what_one_model_hardly_sees_the_other_may_know() -> None:
    shares, scores = np.array([0.7, 0.05], dtype=np.float32), np.array([0.02, 0.6], dtype=np.float32)
    by_classifier, by_detector = of_both(shares, scores)

    assert by_classifier == of_class(shares)[0] > PLAIN_FROM
    assert by_detector > SURE_FROM


def test_another_class_in_the_same_place_speaks_against_a_thing() -> None:
    other, area = np.array([0.9, 0.9, 0.1], dtype=np.float32), np.array([0.8, 0.05, 0.8], dtype=np.float32)
    share, score = np.full(3, 0.01, dtype=np.float32), np.full(3, 0.6, dtype=np.float32)

    same_place, elsewhere, unsure = of_both(share, score, conflict(other, area))

    assert same_place < STATED_FROM < elsewhere == unsure


def test_a_clear_face_is_a_person_whatever_the_detector_saw() -> None:
    assert of_person(0.02, best_face=0.85) == FACE
    assert of_person(0.02, best_face=0.75) < TAGGED_LEAST


def test_a_sure_shoe_that_fills_the_picture_is_no_person_where_no_face_was_found() -> None:
    shoe = rivalry(0.88, area=0.95)

    assert of_person(0.6, best_face=0.0) > PLAIN_FROM
    assert of_person(0.6, 0.0, shoe) < STATED_FROM
    assert of_person(0.4, 0.0, rivalry(0.92, area=0.95)) < TAGGED_LEAST


@pytest.mark.parametrize(
    ("score", "face", "rival", "area"),
    [
        pytest.param(0.5, 0.55, 0.95, 0.9, id="a faint face: someone who wears it"),
        pytest.param(0.5, 0.0, 0.95, 0.08, id="a small person beside it"),
        pytest.param(0.5, 0.0, 0.45, 0.9, id="nothing else that is likely: someone from behind"),
    ],
)
def test_people_stay_people(score: float, face: float, rival: float, area: float) -> None:
    assert of_person(score, face, rivalry(rival, area)) == of_person(score, 0.0)


def test_a_clear_body_from_behind_stays_a_person_whatever_it_wears() -> None:
    assert STATED_FROM < of_person(0.75, 0.0, rivalry(0.95, area=0.9)) < of_person(0.75, 0.0)


def _suggestion(
    name: str, confidence: float, depth: int = 0, *, is_class: bool = False, stated: bool = True
) -> Suggestion:
    return Suggestion(Term(name, f"a {name}", depth, is_class=is_class, is_stated=stated), confidence)


def test_the_narrowest_sure_term_is_the_one_to_say() -> None:
    animal, cat, tabby = (
        _suggestion("animal", 0.97),
        _suggestion("cat", 0.95, 1),
        _suggestion("tabby", 0.9, 2, is_class=True),
    )

    assert most_telling([animal, cat, tabby]) == tabby


def test_a_narrow_term_that_may_be_stated_goes_before_a_surer_wide_one() -> None:
    cat = _suggestion("cat", 0.95, 1)
    tabby, siamese = (_suggestion(name, it, 2, is_class=True) for name, it in (("tabby", 0.75), ("siamese", 0.65)))

    assert most_telling([cat, tabby]) == tabby
    assert most_telling([cat, siamese]) == cat


def test_nothing_is_said_below_the_bar_nor_of_kinds_that_make_no_subject() -> None:
    assert most_telling([]) is None
    assert most_telling([_suggestion("cat", STATED_FROM - 0.01, 1)]) is None
    assert most_telling([_suggestion("cat", STATED_FROM, 1)]) is not None
    assert most_telling([_suggestion("animal", SURE_FROM - 0.01)]) is None  # the widest kinds have to be sure
    assert most_telling([_suggestion("clothing", 0.97, stated=False)]) is None


def test_every_class_has_one_label_and_known_kinds() -> None:
    content = json.loads(LABELS_PATH.read_text(encoding="utf-8"))
    kinds = {kind["name"] for kind in content["kinds"]}

    assert [label["index"] for label in content["labels"]] == list(range(1000))
    assert {kind for label in content["labels"] for kind in label["is_a"]} <= kinds
    assert all(
        label["name"] in label["phrase"].replace("-", " ") or "-" in label["name"] for label in content["labels"]
    )


def test_a_kind_covers_its_members_so_it_is_never_less_likely(vocabulary: Vocabulary) -> None:
    classes = {
        term.name: set(indexes) for term, indexes in zip(vocabulary.terms, vocabulary.classes_of_term, strict=True)
    }

    assert classes["tabby cat"] < classes["cat"] < classes["animal"]
    assert classes["airliner"] < classes["aircraft"] < classes["vehicle"]
    assert vocabulary.membership.shape == (1000, len(vocabulary.terms))
    assert (vocabulary.membership.sum(axis=1) >= 1).all()


def test_depth_counts_the_wider_terms(vocabulary: Vocabulary) -> None:
    depths = {term.name: term.depth for term in vocabulary.terms}

    assert (depths["animal"], depths["cat"], depths["tabby cat"]) == (0, 1, 2)
