"""The operation is tried the way that a worker runs it; no server is needed."""

import io

import pytest
from imagebatch_fingerprint import Fingerprint
from PIL import Image, ImageDraw

from imagebatch_server.operations.registry import OperationRegistry
from imagebatch_server.testing import InvalidParameters, ItemError, OperationTester


@pytest.fixture(scope="module")
def tester() -> OperationTester:
    return OperationTester(Fingerprint)


def picture(colour: str, size: tuple[int, int] = (320, 240), image_format: str = "PNG") -> bytes:
    image = Image.linear_gradient("L").rotate(len(colour) * 40).resize((320, 240)).convert("RGB")
    ImageDraw.Draw(image).ellipse((len(colour) * 20, 40, 260, 200), fill=colour)
    file = io.BytesIO()
    image.resize(size).save(file, image_format)
    return file.getvalue()


def test_the_installed_package_registers_it() -> None:
    assert OperationRegistry.load().get("fingerprint") is Fingerprint


def test_a_copy_is_near_and_another_picture_is_far(tester: OperationTester) -> None:
    original = tester.run(picture("orange")).output["fingerprint"]

    copy = tester.run(picture("orange", (90, 70), "JPEG"), {"reference": original})
    other = tester.run(picture("navy"), {"reference": original})

    assert copy.output["distance"] <= 6
    assert other.output["distance"] >= 12


def test_the_output_is_what_clients_get(tester: OperationTester) -> None:
    answer = tester.run(picture("orange"), {"side": 4})

    assert answer.output["bits"] == 16
    assert len(answer.output["fingerprint"]) == 4
    assert answer.output["operation_version"] == Fingerprint.version
    assert "distance" not in answer.output


def test_a_wrong_reference_is_refused_at_submission(tester: OperationTester) -> None:
    with pytest.raises(InvalidParameters, match="with side 8 it needs 16"):
        tester.run(picture("orange"), {"reference": "abc"})


def test_a_damaged_picture_fails_its_item(tester: OperationTester) -> None:
    with pytest.raises(ItemError) as caught:
        tester.run(picture("orange")[:200])

    assert caught.value.code == "decode_failed"
