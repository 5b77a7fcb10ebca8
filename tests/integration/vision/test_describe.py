"""`describe` with its real models on the photographs that installed packages carry."""

from __future__ import annotations

import hashlib
import io
import json
import socket
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import skimage
import sklearn
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter, ImageFont

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image
from imagebatch_server.operations import ItemContext
from imagebatch_vision.describe import Describe, DescribeOutput, DescribeParameters
from imagebatch_vision.describe.detector import MODEL_PATH

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
MATPLOTLIB = Path(mpl.get_data_path()) / "sample_data"


CROSS_CHECKED = DescribeParameters(cross_check=True)


@pytest.fixture(scope="module")
def describe() -> Describe:
    operation = Describe()
    operation.load()
    return operation


def run(
    describe: Describe, source: Path | PillowImage.Image, parameters: DescribeParameters | None = None
) -> DescribeOutput:
    data = source.read_bytes() if isinstance(source, Path) else encoded(source)
    return describe.run(Image.open(data), parameters or DescribeParameters(), ItemContext(item_index=0))


def encoded(picture: PillowImage.Image, image_format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, image_format, **options)
    return stream.getvalue()


def poster(*lines: str, size: tuple[int, int] = (640, 400), height_px: int = 40) -> PillowImage.Image:
    picture = PillowImage.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        pen.text((30, 30 + row * height_px * 1.5), line, fill="black", font=ImageFont.load_default(size=height_px))
    return picture


@pytest.mark.parametrize(
    ("photograph", "words", "tag"),
    [
        (SKIMAGE / "chelsea.png", "a tabby cat", "cat"),
        (SKIMAGE / "coffee.png", "espresso", "drink"),
        (SKIMAGE / "camera.png", "a person with a tripod", "tripod"),
        (SKIMAGE / "motorcycle_left.png", "a motorcycle", "vehicle"),
        (SKIMAGE / "astronaut.png", "a person", "person"),
        (MATPLOTLIB / "grace_hopper.jpg", "a person", "person"),
        (SKLEARN / "china.jpg", "what looks like a palace", "building"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_a_photograph_is_named_for_what_is_in_it(describe: Describe, photograph: Path, words: str, tag: str) -> None:
    output = run(describe, photograph, CROSS_CHECKED)

    assert words in output.description
    assert output.confidence_score >= 0.7
    assert output.medium == "photograph"
    assert tag in [it.name for it in output.tags]
    assert {"efficientnet-lite2", "nanodet-g", "centerface"} <= {it.name for it in output.models}
    if photograph.name != "grace_hopper.jpg":  # whose name tag reads differently from other pixels
        assert output.is_verified is True


@pytest.mark.parametrize("name", ["brick.png", "ihc.png", "moon.png", "clock_motion.png"])
def test_what_the_models_do_not_know_is_not_invented(describe: Describe, name: str) -> None:
    output = run(describe, SKIMAGE / name, CROSS_CHECKED)

    assert "the subject was not recognised" in output.description
    assert "looks like" not in output.description
    assert output.confidence_score < 0.8
    assert output.is_verified is False


def test_people_are_counted_where_faces_and_bodies_agree(describe: Describe) -> None:
    person = PillowImage.open(SKIMAGE / "astronaut.png").convert("RGB")
    two = PillowImage.new("RGB", (1084, 512), "lightgrey")
    two.paste(person, (0, 0))
    two.paste(person, (572, 0))

    output = run(describe, two, CROSS_CHECKED)

    assert output.description.startswith("A photograph of two people")
    assert output.confidence_score <= 0.92
    assert output.is_verified is True


@pytest.mark.parametrize("orientation", [1, 6])
def test_things_faces_and_text_have_places_in_the_image_as_it_is_shown(describe: Describe, orientation: int) -> None:
    stored = PillowImage.open(SKIMAGE / "astronaut.png").convert("RGB")
    stored = stored if orientation == 1 else stored.transpose(PillowImage.Transpose.ROTATE_90)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, "JPEG", quality=95, exif=exif)

    output = describe.run(Image.open(data), DescribeParameters(), ItemContext(item_index=0))

    person = next(it for it in output.objects or [] if it.name == "person")
    assert person.box.left < 0.1 and 0.6 < person.box.right < 0.8 and person.box.bottom > 0.9  # noqa: PT018
    (face,) = output.faces or []
    assert 0.3 < face.box.left < 0.4 and 0.5 < face.box.right < 0.6  # noqa: PT018
    assert 0.05 < face.box.top < 0.15 and 0.3 < face.box.bottom < 0.4  # noqa: PT018


def test_lines_of_text_have_corners_although_they_are_turned(describe: Describe) -> None:
    picture = PillowImage.new("RGB", (900, 500), "white")
    words = poster("turned words", size=(500, 120))
    picture.paste(words.rotate(25, expand=True, fillcolor="white"), (100, 60))

    output = run(describe, picture)

    (line,) = output.text_lines or []
    assert [line.text] == output.visible_text
    upper_left, upper_right, lower_right, lower_left = line.corners
    assert upper_left.x < upper_right.x and lower_left.x < lower_right.x  # noqa: PT018
    assert upper_left.y < lower_left.y and upper_right.y < lower_right.y  # noqa: PT018
    rise = (upper_left.y - upper_right.y) * 500 / ((upper_right.x - upper_left.x) * 900)
    assert rise == pytest.approx(0.466, abs=0.08), "the tangent of 25 degrees"
    assert run(describe, poster("LOUD"), DescribeParameters(read_text="never")).text_lines is None


def test_a_cross_check_is_made_only_if_asked_for(describe: Describe) -> None:
    assert run(describe, SKIMAGE / "chelsea.png").is_verified is None


def test_text_is_cross_checked_too(describe: Describe) -> None:
    assert run(describe, poster("Annual report 2024"), CROSS_CHECKED).is_verified is True


def test_a_name_tag_in_a_portrait_is_read(describe: Describe) -> None:
    output = run(describe, MATPLOTLIB / "grace_hopper.jpg")

    assert output.visible_text is not None
    assert any("HOPPER" in line for line in output.visible_text)
    assert "HOPPER" in output.description


def test_a_page_is_read_and_says_how_it_begins(describe: Describe) -> None:
    output = run(describe, SKIMAGE / "page.png")

    assert output.description.startswith('A page of text that begins "Region-based segmentation Let us first determine')
    assert (output.medium, output.tags) == ("page", [])
    assert output.confidence_score >= 0.9
    assert output.visible_text is not None
    assert "histogram of grey values:" in output.visible_text


def test_drawn_text_is_read_in_order(describe: Describe) -> None:
    output = run(describe, poster("Annual report 2024", "Figures on page 12"))

    assert output.visible_text == ["Annual report 2024", "Figures on page 12"]
    assert 'It shows the text "Annual report 2024" and "Figures on page 12".' in output.description
    assert output.medium == "graphic"


def test_a_scan_larger_than_a_screen_is_read_from_its_own_pixels(describe: Describe) -> None:
    words = [f"Paragraph {row}: the quick brown fox jumps over the lazy dog." for row in range(6)]
    scan = poster(*words, size=(2480, 1200), height_px=30)

    output = run(describe, scan)

    assert output.medium == "page"
    assert output.visible_text == words


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_page_is_read_however_it_was_laid_on_the_scanner(describe: Describe, degrees: int) -> None:
    words = [f"Clause {row}: the tenant pays the rent on the first of {row + 2} months." for row in range(6)]
    page = poster(*words, size=(1000, 420), height_px=30)

    output = run(describe, page.rotate(degrees, expand=True, fillcolor="white"))

    assert output.visible_text == words
    assert output.medium == "page"
    first = (output.text_lines or [])[0].corners
    begins = {90: (0, 1), 180: (1, 1), 270: (1, 0)}[degrees]
    assert (round(first[0].x), round(first[0].y)) == begins, "the corner where the first line begins"


def test_a_screenshot_of_a_whole_page_is_read_to_its_end(describe: Describe) -> None:
    words = [f"Message {row}: the parcel number is {row * 7919}" for row in range(1, 40)]
    long = poster(*words, size=(1080, 6000), height_px=30)
    ImageDraw.Draw(long).text((30, 5800), "the very end", fill="black", font=ImageFont.load_default(size=30))

    output = run(describe, long, DescribeParameters(max_text_lines=100))

    assert output.visible_text == [*words, "the very end"]
    assert output.medium == "page"
    assert output.description.startswith('A page of text that begins "Message 1: the parcel number is 7919')
    assert output.confidence_score == min(it.confidence for it in (output.text_lines or [])[:3])
    assert (output.text_lines or [])[-1].corners[0].y == pytest.approx(5800 / 6000, abs=0.01)


def test_words_in_a_panorama_are_read(describe: Describe) -> None:
    china = PillowImage.open(SKLEARN / "china.jpg").convert("RGB").resize((1200, 800))
    wide = PillowImage.new("RGB", (4800, 800))
    for left in range(0, 4800, 1200):
        wide.paste(china, (left, 0))
    font = ImageFont.load_default(size=40)
    place, words = (3300, 620), "Forbidden City"
    ImageDraw.Draw(wide).text(place, words, fill="white", font=font, stroke_width=3, stroke_fill="black")

    assert run(describe, wide).visible_text == [words]


def test_a_tall_white_page_is_not_overexposed(describe: Describe) -> None:
    grain = np.random.default_rng(3).normal(0, 2, (6000, 1080, 1))
    page = poster(*(f"Line {row}" for row in range(12)), size=(1080, 6000), height_px=30)
    pixels = np.clip(np.asarray(page, dtype=np.float32) + grain, 0, 255).astype(np.uint8)

    output = run(describe, PillowImage.fromarray(pixels))

    assert output.visible_text is not None
    assert output.visible_text[:2] == ["Line 0", "Line 1"]
    assert "overexposed" not in output.quality.verdicts


def test_a_dense_page_is_read_as_far_as_asked_and_says_so(describe: Describe) -> None:
    words = [f"{row} quick brown foxes jump over lazy dogs" for row in range(8)]
    page = poster(*words, size=(640, 400), height_px=24)

    output = run(describe, page, DescribeParameters(max_text_lines=5))

    assert output.visible_text == words[:5]
    assert output.text_is_cut
    assert output.description.endswith("Only part of it was read.")


def test_the_capture_time_comes_from_exif(describe: Describe) -> None:
    exif = PillowImage.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:03 14:30:00"
    data = encoded(PillowImage.open(SKIMAGE / "chelsea.png").convert("RGB"), "JPEG", quality=92, exif=exif)

    output = describe.run(Image.open(data), DescribeParameters(), ItemContext(item_index=0))

    assert output.captured_at == "2024-05-03T14:30:00"
    assert output.description.endswith(" Taken on 3 May 2024, by the camera's clock.")
    assert run(describe, SKIMAGE / "chelsea.png").captured_at == "2009-02-09T09:11:30"  # as its XMP has it
    assert run(describe, SKIMAGE / "astronaut.png").captured_at is None


def test_text_is_read_as_asked(describe: Describe) -> None:
    large = PillowImage.open(SKIMAGE / "astronaut.png").convert("RGB").resize((1280, 900))
    ImageDraw.Draw(large).text((600, 500), "tiny 4711", fill="white", font=ImageFont.load_default(size=14))

    assert run(describe, poster("LOUD"), DescribeParameters(read_text="never")).visible_text is None
    assert "tiny 4711" in (run(describe, large, DescribeParameters(read_text="always")).visible_text or [])
    assert run(describe, SKIMAGE / "chelsea.png").visible_text == []


def test_a_drawing_gets_no_subject(describe: Describe) -> None:
    drawing = PillowImage.new("RGB", (400, 300), "white")
    ImageDraw.Draw(drawing).ellipse((100, 50, 300, 250), fill="orange", outline="black", width=3)

    output = run(describe, drawing)

    assert output.description.startswith("A drawing, chart or screenshot, mostly white and orange")
    assert (output.tags, output.confidence_score) == ([], 0.0)


def test_a_blank_image_is_called_blank(describe: Describe) -> None:
    output = run(describe, PillowImage.new("RGB", (300, 200), "navy"))

    assert (output.description, output.confidence_score) == ("A blank image, plain dark blue.", 1.0)
    assert output.visible_text == []


def test_a_blurred_photograph_is_called_blurred(describe: Describe) -> None:
    blurred = PillowImage.open(SKIMAGE / "astronaut.png").convert("RGB").filter(ImageFilter.GaussianBlur(4))

    output = run(describe, blurred)

    assert output.description.startswith("A blurred photograph")
    assert output.quality.verdicts == ["blurred"]
    assert output.quality.sharpness < run(describe, SKIMAGE / "astronaut.png").quality.sharpness


def test_a_photograph_turned_by_exif_is_described_as_it_is_shown(describe: Describe) -> None:
    upright = PillowImage.open(SKIMAGE / "chelsea.png").convert("RGB")
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    data = encoded(upright.transpose(PillowImage.Transpose.ROTATE_90), "JPEG", quality=92, exif=exif)

    output = describe.run(Image.open(data), DescribeParameters(), ItemContext(item_index=0))

    assert (output.width, output.height) == upright.size
    assert "a tabby cat" in output.description


def test_the_facts_are_those_of_the_file(describe: Describe) -> None:
    path = SKLEARN / "china.jpg"

    output = run(describe, path)

    assert (output.format, output.width, output.height, output.frame_count) == ("jpeg", 640, 427, 1)
    assert output.size_bytes == path.stat().st_size
    assert output.operation_version == Describe.version
    shas = {it.name: it.sha256 for it in output.models}
    assert shas["nanodet-g"] == hashlib.sha256(MODEL_PATH.read_bytes()).hexdigest()
    assert sum(colour.share for colour in output.dominant_colours) <= 1.0
    assert len(json.dumps(output.model_dump(mode="json"))) < 4_000


def test_the_same_image_gives_the_same_output(describe: Describe) -> None:
    assert run(describe, SKIMAGE / "coffee.png") == run(describe, SKIMAGE / "coffee.png")


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (33, 31)])
@pytest.mark.parametrize("read_text", ["auto", "always"])
def test_odd_shapes_are_described_too(describe: Describe, size: tuple[int, int], read_text: str) -> None:
    width, height = size
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)

    output = run(describe, PillowImage.fromarray(noise), DescribeParameters.model_validate({"read_text": read_text}))

    assert (output.width, output.height) == size
    assert output.description.endswith(".")


def test_only_the_first_frame_of_an_animation_is_described(describe: Describe) -> None:
    frames = [PillowImage.new("RGB", (120, 90), colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])

    output = describe.run(Image.open(data), DescribeParameters(), ItemContext(item_index=0))

    assert output.frame_count == 3
    assert output.description.startswith("A blank image, plain red. It is the first of 3 frames")


def test_a_truncated_photograph_fails_with_its_code(describe: Describe) -> None:
    data = (SKLEARN / "flower.jpg").read_bytes()[:20_000]

    with pytest.raises(ItemError) as caught:
        describe.run(Image.open(data), DescribeParameters(), ItemContext(item_index=0))

    assert caught.value.code == "decode_failed"


def test_the_models_load_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    operation = Describe()
    operation.load()

    assert run(operation, poster("offline")).visible_text == ["offline"]
