"""`verify` with its real models, run the way that a worker runs it, and on a real server."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import rapidocr
import skimage
import sklearn
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageEnhance, ImageFilter, ImageFont
from tests.server import running_server

from imagebatch_client import BatchClient, BatchImageInput, BatchStatus
from imagebatch_server.testing import InvalidParameters, ItemError, OperationTester
from imagebatch_vision.verify import Verify

SKIMAGE = Path(skimage.__file__).parent / "data"
CHINA = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
HOPPER = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
CHELSEA = SKIMAGE / "chelsea.png"


@pytest.fixture(scope="module")
def tester() -> OperationTester:
    return OperationTester(Verify)


def run(tester: OperationTester, source: Path | bytes, **arguments: Any) -> dict[str, Any]:
    return tester.run(source.read_bytes() if isinstance(source, Path) else source, **arguments).output


def verdicts(output: Mapping[str, Any]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in output["checks"]}


def detail(output: Mapping[str, Any], name: str) -> str:
    (found,) = [check["detail"] for check in output["checks"] if check["name"] == name]
    assert isinstance(found, str)
    return found


def encoded(image: PillowImage.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **({"quality": 90} if image_format == "JPEG" else {}) | options)
    return stream.getvalue()


def test_a_good_photograph_is_verified(tester: OperationTester) -> None:
    output = run(tester, CHINA, declared_type="image/jpeg")

    assert verdicts(output) == dict.fromkeys(
        ("integrity", "declared_type", "not_blank", "sharpness", "exposure"), "supported"
    )
    assert output["is_verified"] is True
    assert output["confidence_score"] == min(check["score"] for check in output["checks"]) > 0.5
    assert (output["format"], output["width"], output["height"]) == ("jpeg", 640, 427)
    assert (output["models"], output["operation_version"]) == ([], Verify.version)


@pytest.mark.parametrize("path", [CHINA, HOPPER, CHELSEA, SKIMAGE / "astronaut.png", SKIMAGE / "coffee.png"])
def test_clean_photographs_of_every_kind_are_verified(tester: OperationTester, path: Path) -> None:
    assert run(tester, path)["is_verified"] is True


def holed(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + data[at + 600 :]


def flipped(data: bytes) -> bytes:
    chance, changed = random.Random(4), bytearray(data)
    for _ in range(12):
        changed[chance.randrange(len(data) // 2, len(data))] ^= 16
    return bytes(changed)


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda data: data[: len(data) * 2 // 3],
    lambda data: data[: len(data) * 2 // 3] + bytes(len(data) // 3),
    holed,
    flipped,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=["cut short", "empty tail", "hole", "bits turned"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"image_format": "PNG"}], ids=["jpeg", "progressive", "png"]
)
def test_damage_contradicts_integrity_and_is_no_failure(
    tester: OperationTester, options: dict[str, Any], damage: Callable[[bytes], bytes]
) -> None:
    data = encoded(PillowImage.open(CHINA), **options)
    assert run(tester, data)["is_verified"] is True

    expected = {"text": "palace", "label": "palace", "min_width": 600}
    output = run(tester, damage(data), parameters={"expect": expected})

    assert output["is_verified"] is False
    assert output["confidence_score"] == 0.0
    found = verdicts(output)
    assert (found["integrity"], found["size"]) == ("contradicted", "supported")
    looked_at = {found[name] for name in ("not_blank", "sharpness", "exposure", "text", "label")}
    if output["is_truncated"]:  # what is there may bear a claim out, and never speaks against one
        assert "truncated" in detail(output, "integrity")
        assert looked_at <= {"supported", "cannot_tell"}
        output = run(tester, damage(data), parameters={"expect": expected, "strict": True})
        looked_at = {verdicts(output)[name] for name in ("not_blank", "sharpness", "exposure", "text", "label")}
        assert verdicts(output)["integrity"] == "contradicted"
    assert looked_at == {"cannot_tell"}
    assert output["models"] == []


def test_a_file_that_lacks_its_end_mark_is_said_to_be_truncated(tester: OperationTester) -> None:
    for image_format in ("JPEG", "PNG", "GIF"):
        data = encoded(PillowImage.open(CHINA), image_format)
        output = run(tester, data[:-2])
        assert (output["is_truncated"], verdicts(output)["integrity"]) == (True, "contradicted"), image_format
        assert verdicts(output)["not_blank"] == "supported"
        assert run(tester, data)["is_truncated"] is False


def test_faults_beside_the_picture_leave_it_whole(tester: OperationTester) -> None:
    jpeg, png = encoded(PillowImage.open(CHINA)), encoded(PillowImage.open(CHINA), "PNG")
    at = jpeg.index(b"\xff\xc4")
    wrong = struct.pack(">I", 1) + b"tEXtx" + b"\0\0\0\0"
    for data, told in (
        (jpeg[:at] + b"\1\2" + jpeg[at:], "2 bytes between its segments"),
        (png[:33] + wrong + png[33:], "the checksum of its tEXt chunk"),
        (jpeg + b"\xff\xda" * 4_000_000, "It decodes whole."),
    ):
        output = run(tester, data)
        assert told in detail(output, "integrity")
        assert output["is_verified"] is True


def sampled(data: bytes, *factors: int) -> bytes:
    """Make a JPEG of one block for each colour, stated to be of several: the same blocks of fewer, larger units."""
    at = data.index(b"\xff\xc0") + 11
    changed = bytearray(data)
    for number, factor in enumerate(factors):
        changed[at + 3 * number] = factor
    return bytes(changed)


@pytest.mark.parametrize("factors", [(0x11, 0x22, 0x22), (0x31, 0x11, 0x11), (0x14, 0x11, 0x11), (0x22, 0x21, 0x11)])
def test_no_answer_of_the_strict_decoder_is_swallowed_and_none_escapes(
    tester: OperationTester, factors: tuple[int, ...]
) -> None:
    data = sampled(encoded(PillowImage.open(CHINA), subsampling=0), *factors)
    at = len(data) // 2

    for made in (data, data[:at] + bytes(512) + data[at + 512 :]):
        assert verdicts(run(tester, made))["integrity"] in ("contradicted", "cannot_tell")


def oddly_sampled(blocks: int = 9 * 40) -> bytes:
    """Make a whole JPEG with more samples of its second and third colour than of its first.

    It is a grey one's row of blocks, told to be units of 1, 4 and 4.
    """
    grey = encoded(PillowImage.open(CHINA).convert("L").resize((8 * blocks, 8)))
    frame_at, scan_at = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    tables = grey[2:frame_at] + grey[frame_at + 13 : scan_at]
    width = 16 * blocks // 9
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 16, width, 3) + bytes((1, 0x11, 0, 2, 0x22, 0, 3, 0x22, 0))
    scan = b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes((1, 0, 2, 0, 3, 0, 0, 63, 0))
    return b"\xff\xd8" + tables + frame + scan + grey[scan_at + 10 :]


def test_a_sampling_that_the_strict_decoder_cannot_read_is_judged_by_trial(tester: OperationTester) -> None:
    data = oddly_sampled()
    at = len(data) * 2 // 3

    assert verdicts(run(tester, data))["integrity"] == "supported"
    for damaged in (
        data[:at] + bytes(64) + data[at + 64 :],
        data[:at] + data[at + 100 :],
        data[:-2][:-300] + data[-2:],
    ):
        assert verdicts(run(tester, damaged))["integrity"] == "contradicted"


def test_an_animation_that_ends_early_is_damaged(tester: OperationTester) -> None:
    frames = [PillowImage.open(CHINA).resize((64, 48)).rotate(turn) for turn in (0, 90, 180)]
    for image_format in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        assert verdicts(run(tester, data))["integrity"] == "supported", image_format
        assert verdicts(run(tester, data[:-20]))["integrity"] == "contradicted", image_format


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_every_kind_of_jpeg_is_judged(tester: OperationTester, mode: str) -> None:
    data = encoded(PillowImage.open(CHINA).convert(mode))

    assert verdicts(run(tester, data))["integrity"] == "supported"
    assert verdicts(run(tester, holed(data)))["integrity"] == "contradicted"


@pytest.mark.parametrize(
    ("data", "declared_type", "says", "type_verdict"),
    [
        (b"", None, "the file is empty", "cannot_tell"),
        (b"just text", "image/jpeg", "looks like text", "contradicted"),
        (b"<!doctype html><html>", "image/png", "an HTML page", "contradicted"),
        (b"<!doctype html><html>", "text/html", "an HTML page", "cannot_tell"),
        (b"\xff\xd8\xff\xe0 no jpeg", "image/jpeg", "can't be decoded", "cannot_tell"),
    ],
)
def test_what_is_no_image_contradicts_integrity_and_is_no_failure(
    tester: OperationTester, data: bytes, declared_type: str | None, says: str, type_verdict: str
) -> None:
    output = run(tester, data, declared_type=declared_type, parameters={"expect": {"label": "cat", "min_width": 9}})

    assert says in detail(output, "integrity")
    assert (output["is_verified"], output["confidence_score"]) == (False, 0.0)
    found = verdicts(output)
    assert (found.pop("integrity"), found.pop("declared_type")) == ("contradicted", type_verdict)
    assert set(found.values()) == {"cannot_tell"}
    assert "format" not in output
    assert "width" not in output


@pytest.mark.parametrize(
    ("data", "declared_type", "says"),
    [
        (b"\0\0\1\0\1\0", "image/x-icon", "looks like an icon"),
        (b"P6 1 1 255\nabc", "image/x-portable-pixmap", "looks like PNM"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "looks like SVG"),
    ],
)
def test_of_a_picture_that_is_not_read_here_nothing_can_be_told(
    tester: OperationTester, data: bytes, declared_type: str, says: str
) -> None:
    output = run(tester, data, declared_type=declared_type)

    assert says in detail(output, "integrity")
    assert set(verdicts(output).values()) == {"cannot_tell"}
    assert output["is_verified"] is False


def test_a_limit_of_the_server_fails_the_item() -> None:
    with pytest.raises(ItemError, match="above the limit of 1,000") as caught:
        OperationTester(Verify, max_image_pixels=1_000).run(CHINA.read_bytes())
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda image: image.filter(ImageFilter.GaussianBlur(4)), "sharpness"),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.3), "exposure"),
        (lambda image: ImageEnhance.Brightness(image).enhance(4), "exposure"),
        (lambda image: PillowImage.new("RGB", image.size, "grey"), "not_blank"),
    ],
    ids=["blurred", "dark", "burnt", "blank"],
)
def test_poor_quality_contradicts_unless_it_is_not_asked_about(
    tester: OperationTester, change: Callable[[PillowImage.Image], PillowImage.Image], check: str
) -> None:
    data = encoded(change(PillowImage.open(CHINA)))

    output = run(tester, data)
    assert verdicts(output)[check] == "contradicted"
    assert (output["is_verified"], output["confidence_score"] < 0.5) == (False, True)
    assert run(tester, data, parameters={"checks": []})["is_verified"] is True


def test_thresholds_are_the_batchs(tester: OperationTester) -> None:
    sharpness = run(tester, CHINA)["checks"][2]["score"]
    assert verdicts(run(tester, CHINA, parameters={"min_sharpness": 0.95}))["sharpness"] == "contradicted"
    assert run(tester, CHINA, parameters={"min_sharpness": 0.25})["checks"][2]["score"] >= sharpness
    assert verdicts(run(tester, HOPPER, parameters={"max_white_share": 0.01}))["exposure"] == "contradicted"
    assert verdicts(run(tester, HOPPER, parameters={"min_highlight": 1.0}))["exposure"] == "contradicted"


def test_expected_text_is_found_or_not(tester: OperationTester) -> None:
    found = run(tester, SKIMAGE / "page.png", parameters={"expect": {"text": "Let us first determine markers"}})
    assert verdicts(found)["text"] == "supported"
    assert found["is_verified"] is True
    other = run(tester, SKIMAGE / "page.png", parameters={"expect": {"text": "Invoice 2024-17"}})
    assert verdicts(other)["text"] == "contradicted"
    none = run(tester, CHELSEA, parameters={"expect": {"text": "Invoice 2024-17"}})
    assert (verdicts(none)["text"], none["is_verified"], none["confidence_score"]) == ("cannot_tell", False, 0.5)


@pytest.mark.parametrize("expected", ["Счёт на оплату", "Τιμολόγιο", "Լուսանկար"])
def test_text_in_a_script_that_is_not_read_is_not_contradicted_by_what_is(
    tester: OperationTester, expected: str
) -> None:
    page, font = (
        PillowImage.new("RGB", (600, 240), "white"),
        Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf",
    )
    for at, line in ((30, expected), (130, "Page 1 of 3")):
        ImageDraw.Draw(page).text((40, at), line, fill="black", font=ImageFont.truetype(str(font), 48))

    def verdict(text: str) -> str:
        return verdicts(run(tester, encoded(page, "PNG"), parameters={"expect": {"text": text}}))["text"]

    assert verdict(expected) == "cannot_tell"
    assert verdict("Page 1 of 3") == "supported"
    assert verdict("Annual report") == "contradicted"


def test_small_print_is_looked_at_more_closely(tester: OperationTester) -> None:
    large = PillowImage.open(SKIMAGE / "astronaut.png").convert("RGB").resize((1800, 1800))
    ImageDraw.Draw(large).text((600, 500), "serial 47114", fill="white", font=ImageFont.load_default(size=15))

    output = run(tester, encoded(large, quality=95), parameters={"expect": {"text": "serial 47114"}})

    assert verdicts(output)["text"] == "supported"


def test_an_expected_label_is_supported_contradicted_or_unknown(tester: OperationTester) -> None:
    def verdict(source: Path, label: str) -> str:
        return verdicts(run(tester, source, parameters={"expect": {"label": label}}))["label"]

    assert [verdict(CHELSEA, it) for it in ("cat", "a kitten", "tabby cat", "animal", "dog or cat")] == [
        "supported"
    ] * 5
    assert [verdict(CHELSEA, it) for it in ("dog", "zebra", "pizza", "bus")] == ["contradicted"] * 4
    assert [verdict(CHELSEA, it) for it in ("castle", "guitar")] == ["cannot_tell"] * 2
    assert verdict(SKIMAGE / "astronaut.png", "a person") == "supported"
    assert verdict(SKIMAGE / "gravel.png", "cat") == "cannot_tell"
    assert verdict(SKIMAGE / "logo.png", "cat") == "cannot_tell"
    assert verdict(CHELSEA, "a feline") == "supported"
    assert verdict(SKIMAGE / "astronaut.png", "a woman") == "cannot_tell"
    with pytest.raises(InvalidParameters, match=r"options\.parameters\.expect\.label: .* try a wider word"):
        run(tester, CHELSEA, parameters={"expect": {"label": "dragonfruit"}})


def test_the_capture_time_is_exifs(tester: OperationTester) -> None:
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 12:00:00"
    data = encoded(PillowImage.open(CHINA), exif=exif)

    def output(source: bytes, **expected: str) -> dict[str, Any]:
        return run(tester, source, parameters={"expect": expected})

    assert output(data, captured_after="2024-05-01", captured_before="2024-06-01")["is_verified"] is True
    assert verdicts(output(data, captured_before="2024-05-01T00:00:00Z"))["capture_time"] == "contradicted"
    assert verdicts(output(CHINA.read_bytes(), captured_after="2024-05-01"))["capture_time"] == "cannot_tell"


def test_items_may_carry_their_own_expectations(tester: OperationTester) -> None:
    metadata = {"expect": {"label": "cat", "min_height": 200}, "shop": 7}

    output = run(tester, CHELSEA, metadata=metadata, parameters={"expect": {"label": "dog", "min_width": 400}})

    assert (verdicts(output)["label"], verdicts(output)["size"]) == ("supported", "supported")
    assert output["is_verified"] is True


def test_an_expectation_that_can_not_be_understood_keeps_the_item_from_being_verified(tester: OperationTester) -> None:
    output = run(tester, CHELSEA, metadata={"expect": {"label": "cat", "lable": "dog", "captured_after": "yesterday"}})

    assert [it["verdict"] for it in output["checks"] if it["name"] == "expectations"] == ["cannot_tell"] * 2
    assert verdicts(output)["label"] == "supported"
    assert (output["is_verified"], output["confidence_score"]) == (False, 0.5)
    unknown = run(tester, CHELSEA, metadata={"expect": {"label": "dragonfruit"}})
    assert (verdicts(unknown)["label"], unknown["is_verified"]) == ("cannot_tell", False)


def test_limits_of_time_of_batch_and_item_that_contradict_each_other_contradict_no_image(
    tester: OperationTester,
) -> None:
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2025:05:31 12:00:00"
    data = encoded(PillowImage.open(CHINA), exif=exif)

    for batch, own in (
        ({"captured_before": "2024-01-01"}, {"captured_after": "2025-01-01"}),
        ({}, {"captured_before": "2024-01-01", "captured_after": "2025-01-01"}),
    ):
        output = run(tester, data, parameters={"expect": batch}, metadata={"expect": own})
        assert set(verdicts(output).values()) == {"supported", "cannot_tell"}
        assert verdicts(output)["expectations"] == "cannot_tell"
        assert (output["is_verified"], output["confidence_score"]) == (False, 0.5)


def test_models_are_named_with_their_files_digests_where_they_were_asked(tester: OperationTester) -> None:
    output = run(tester, HOPPER, parameters={"expect": {"text": "HOPPER", "label": "clothing"}})

    digests = {it["name"]: it["sha256"] for it in output["models"]}
    models = Path(rapidocr.__file__).parent / "models"
    for name in ("PP-OCRv6_det_small", "PP-OCRv6_rec_small", "ch_ppocr_mobile_v2.0_cls_mobile"):
        assert digests.pop(name) == hashlib.sha256((models / f"{name}.onnx").read_bytes()).hexdigest()
    assert digests
    assert all(len(digest) == 64 for digest in digests.values())
    assert output["is_verified"] is True


def test_no_model_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys; from imagebatch_vision.verify import Verify; "
        "from imagebatch_server.testing import OperationTester; "
        f"print(OperationTester(Verify).run(open({str(CHINA)!r}, 'rb').read()).output['is_verified'], "
        "[name for name in ('onnxruntime', 'cv2', 'rapidocr') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "True []"


def test_a_batch_of_good_and_bad_files_has_an_answer_for_each(tmp_path: Path) -> None:
    china = CHINA.read_bytes()
    files = [china, china[:60_000], b"no picture", b"", encoded(PillowImage.new("RGB", (300, 200), "white"))]
    text = base64.b64encode(b"no picture").decode()
    with running_server(tmp_path / "data") as server, BatchClient(server.address) as client:
        items = [BatchImageInput(object_key=client.upload_image(it).object_key) for it in files]
        items.append(BatchImageInput(image_base64=f"data:image/jpeg;base64,{text}"))
        items.append(BatchImageInput(object_key=items[0].object_key, metadata={"expect": {"min_width": 10_000}}))
        batch = client.submit("verify", items)
        status = client.wait_for_completion(batch.batch_id, timeout=60)
        results = list(client.get_all_results(batch.batch_id))

    assert status.status is BatchStatus.COMPLETED
    assert [it.is_verified for it in results] == [True, False, False, False, False, False, False]
    contradicted = [
        [check["name"] for check in (it.output_data or {})["checks"] if check["verdict"] == "contradicted"]
        for it in results
    ]
    assert contradicted == [
        [], ["integrity"], ["integrity"], ["integrity"], ["not_blank"], ["integrity", "declared_type"], ["size"],
    ]  # fmt: skip
    assert results[0].confidence_score is not None
    assert results[0].confidence_score > 0.5
