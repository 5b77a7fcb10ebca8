"""Declared type, size, capture time, expectations, and what they make together."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from pydantic import ValidationError

from imagebatch_server.images.decode import Image
from imagebatch_server.images.exif import CaptureTime
from imagebatch_vision.verify.file_checks import check_capture_time, check_declared_type, check_size
from imagebatch_vision.verify.output import (
    Check,
    Verdict,
    cannot_tell,
    confidence,
    contradicted,
    is_verified,
    supported,
)
from imagebatch_vision.verify.parameters import Expectations, VerifyParameters, expected_of


@pytest.mark.parametrize(
    ("declared", "image_format", "verdict"),
    [
        ("image/jpeg", "jpeg", "supported"),
        ("IMAGE/JPG; charset=binary", "jpeg", "supported"),
        ("image/x-png", "png", "supported"),
        ("image/png", "jpeg", "contradicted"),
        ("text/html", "jpeg", "contradicted"),
        (None, "jpeg", "cannot_tell"),
        ("", "jpeg", "cannot_tell"),
        ("application/octet-stream", "jpeg", "cannot_tell"),
        ("image/*", "jpeg", "cannot_tell"),
        ("image/jpeg", None, "contradicted"),
        ("image/heic", None, "contradicted"),
        ("image/heic", "heif", "supported"),
        ("image/x-adobe-dng", "raw", "supported"),
        ("image/jp2", "jpeg2000", "supported"),
        ("image/x-icon", None, "cannot_tell"),
        ("text/html", None, "cannot_tell"),
    ],
)
def test_the_declared_type_is_held_against_the_content(
    declared: str | None, image_format: str | None, verdict: Verdict
) -> None:
    assert check_declared_type(declared, image_format, "the content looks like HEIC").verdict == verdict


@pytest.mark.parametrize(
    ("least", "verdict"),
    [((40, 60), "supported"), ((41, None), "contradicted"), ((None, 61), "contradicted"), ((None, 60), "supported")],
)
def test_the_size_is_that_of_the_image_as_shown(least: tuple[int | None, int | None], verdict: Verdict) -> None:
    stream, exif = io.BytesIO(), PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.new("RGB", (60, 40)).save(stream, "JPEG", exif=exif)

    assert check_size(Image.open(stream.getvalue()), *least).verdict == verdict


NOON = datetime.fromisoformat("2024-05-31T12:00:00")


@pytest.mark.parametrize(
    ("after", "before", "verdict"),
    [
        ("2024-05-31", None, "supported"),
        ("2024-05-31T12:00:00", None, "supported"),
        ("2024-05-31T12:00:01", None, "contradicted"),
        (None, "2024-05-31T12:00:00", "contradicted"),
        (None, "2024-06-01", "supported"),
        ("2024-05-31", "2024-06-01", "supported"),
        ("2024-05-01", "2024-05-31", "contradicted"),
        ("2024-05-30T22:00:00Z", None, "supported"),  # at most 14 hours ahead
        ("2024-05-30T22:00:01Z", None, "cannot_tell"),
        ("2024-06-01T00:00:00Z", None, "cannot_tell"),  # at most 12 hours behind
        ("2024-06-01T00:00:01Z", None, "contradicted"),
        ("2024-06-01T00:00:01+02:00", None, "cannot_tell"),
        (None, "2024-06-01T00:00:01Z", "supported"),
        (None, "2024-05-30T22:00:00Z", "contradicted"),
        ("2024-05-31T12:00:00Z", "2024-05-30T22:00:00Z", "contradicted"),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "supported"),
    ],
)
def test_the_capture_time_is_compared_as_far_as_its_zone_is_known(
    after: str | None, before: str | None, verdict: Verdict
) -> None:
    limits = [None if it is None else datetime.fromisoformat(it) for it in (after, before)]
    assert check_capture_time(CaptureTime(NOON, "EXIF DateTimeOriginal"), *limits).verdict == verdict


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ("2024-05-31T11:30:00+00:00", "contradicted"),
        ("2024-05-31T09:30:00+00:00", "supported"),
        ("2024-05-31T12:00:00+02:00", "supported"),
        ("2024-05-31T12:00:01+02:00", "contradicted"),
        ("2024-05-31T11:59:59", "supported"),
        ("2024-05-31T12:30:00", "contradicted"),
    ],
)
def test_a_capture_time_with_a_zone_is_exact(limit: str, verdict: Verdict) -> None:
    taken = CaptureTime(datetime.fromisoformat("2024-05-31T12:00:00+02:00"), "XMP photoshop:DateCreated")
    check = check_capture_time(taken, datetime.fromisoformat(limit), None)
    assert check.verdict == verdict
    assert "XMP photoshop:DateCreated says that it was captured at 2024-05-31 12:00:00+02:00" in check.detail
    assert "local time" not in check.detail


def test_without_a_capture_time_nothing_can_be_told() -> None:
    assert check_capture_time(None, NOON, None).verdict == "cannot_tell"


SURE, LIKELY, WRONG = supported("integrity", 1, ""), supported("sharpness", 0.7, ""), contradicted("exposure", 0.2, "")


@pytest.mark.parametrize(
    ("checks", "verified", "score"),
    [
        ([SURE, LIKELY], True, 0.7),
        ([SURE, LIKELY, cannot_tell("declared_type", "")], True, 0.7),
        ([SURE, LIKELY, WRONG], False, 0.2),
        ([SURE, LIKELY, supported("text", 0.9, "")], True, 0.7),
        ([SURE, LIKELY, cannot_tell("text", "")], False, 0.5),
        ([SURE, cannot_tell("label", ""), WRONG], False, 0.2),
        ([SURE, cannot_tell("expectations", "")], False, 0.5),
        ([SURE, cannot_tell("capture_time", "")], False, 0.5),
        ([cannot_tell("integrity", ""), cannot_tell("sharpness", "")], False, 0.5),
    ],
)
def test_one_contradiction_or_one_expectation_in_the_dark_is_enough(
    checks: list[Check], verified: bool, score: float
) -> None:
    assert (is_verified(checks), confidence(checks)) == (verified, score)


def test_an_items_expectations_go_before_the_batchs_field_by_field() -> None:
    batch = Expectations(text="invoice", label="cat", min_width=100)

    expected, problems = expected_of(batch, {"expect": {"text": "receipt", "label": None, "min_height": 50}})

    assert expected == Expectations(text="receipt", label="cat", min_width=100, min_height=50)
    assert problems == []
    assert expected_of(batch, {"other": 1}) == (batch, [])


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ("cat", "metadata.expect is 'cat'; give a mapping with text, label"),
        ({"txt": "a"}, "metadata.expect.txt is no expectation that is known; known are text, label"),
        ({"captured_after": "yesterday"}, "metadata.expect.captured_after is 'yesterday': write a date or time as in"),
        ({"captured_after": 1_700_000_000}, "metadata.expect.captured_after is 1700000000: write a date or time"),
        ({"text": ""}, "metadata.expect.text is '': there is no letter or digit in it"),
        ({"text": 7}, "metadata.expect.text is 7: Input should be a valid string"),
        ({"text": ["a"]}, "metadata.expect.text is ['a']: Input should be a valid string"),
        ({"min_width": 0}, "metadata.expect.min_width is 0: Input should be greater than or equal to 1"),
        ({"min_width": "wide"}, "metadata.expect.min_width is 'wide': Input should be a valid integer"),
        (
            {"captured_after": "2024-02-01", "captured_before": "2024-01-01"},
            "captured_after is not earlier than captured_before",
        ),
    ],
)
def test_what_is_wrong_with_an_expectation_is_said_with_its_path(own: object, problem: str) -> None:
    expected, problems = expected_of(Expectations(label="cat"), {"expect": own})

    assert expected == Expectations(label="cat")
    assert len(problems) == 1
    assert problem in problems[0]


def test_one_wrong_expectation_leaves_the_others_in_force() -> None:
    expected, problems = expected_of(Expectations(), {"expect": {"text": "a1", "min_width": -1, "size": 3}})

    assert expected == Expectations(text="a1")
    assert len(problems) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*Expectations.model_fields, "other"]), json_values) | json_values)
def test_whatever_stands_in_metadata_is_understood_or_said_to_be_wrong(own: Any) -> None:
    expected, problems = expected_of(Expectations(), {"expect": own})

    given = {name for name, value in own.items() if value is not None} if isinstance(own, dict) else set()
    assert expected.model_fields_set <= given
    assert problems or expected.model_fields_set == given


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"expect": {"label": "dragonfruit"}}, "none of the things that the local backend can recognise"),
        ({"expect": {"captured_after": "soon"}}, "write a date or time"),
        ({"expect": {"txt": "a"}}, "Extra inputs are not permitted"),
        ({"checks": ["blur"]}, "'declared_type', 'not_blank', 'sharpness' or 'exposure'"),
        ({"backend": "openai-vision"}, "backend"),
        ({"min_sharpness": 0}, "greater than 0"),
    ],
)
def test_what_a_batch_expects_is_checked_at_submission(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        VerifyParameters.model_validate(parameters)
