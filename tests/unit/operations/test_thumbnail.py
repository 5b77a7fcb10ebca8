"""`thumbnail`: the size that was asked for, the picture as it is shown, and nothing else of the file."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageChops, ImageCms, ImageStat
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image
from imagebatch_server.operations import ItemContext
from imagebatch_server.operations.thumbnail import Thumbnail, ThumbnailOutput, ThumbnailParameters, make_plan


def picture(width: int = 400, height: int = 300) -> PillowImage.Image:
    """Every direction and channel differs, so that turns, cuts and swaps show."""
    red = PillowImage.linear_gradient("L").resize((width, height))
    green = PillowImage.linear_gradient("L").rotate(90).resize((width, height))
    blue = PillowImage.radial_gradient("L").resize((width, height))
    return PillowImage.merge("RGB", (red, green, blue))


def encoded(image: PillowImage.Image, image_format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def run(data: bytes, **parameters: Any) -> tuple[ThumbnailOutput, PillowImage.Image, bytes]:
    chosen = ThumbnailParameters(**parameters)
    stored = Thumbnail().run(Image.open(data, strict=chosen.strict), chosen, ItemContext(item_index=0))
    assert isinstance(stored.output, ThumbnailOutput)
    assert stored.content_type == f"image/{stored.output.format}"
    return stored.output, PillowImage.open(io.BytesIO(stored.data)), stored.data


def difference(one: PillowImage.Image, other: PillowImage.Image) -> float:
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (256, 192)),
        ({"width": 100}, (100, 75)),
        ({"height": 100}, (133, 100)),
        ({"width": 100, "height": 100}, (100, 75)),
        ({"width": 100, "height": 100, "fit": "cover"}, (100, 100)),
        ({"fit": "cover"}, (256, 256)),
        ({"width": 300, "height": 30, "fit": "cover"}, (300, 30)),
        ({"width": 1}, (1, 1)),
        ({"width": 800}, (400, 300)),
        ({"width": 800, "enlarge": True}, (800, 600)),
        ({"width": 800, "height": 800, "fit": "cover"}, (300, 300)),
        ({"width": 800, "height": 400, "fit": "cover"}, (400, 200)),
        ({"width": 800, "height": 800, "fit": "cover", "enlarge": True}, (800, 800)),
    ],
)
@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_the_size_follows_from_box_fit_and_enlarge(
    image_format: str, parameters: dict[str, Any], size: tuple[int, int]
) -> None:
    output, made, _ = run(encoded(picture(), image_format), **parameters)

    assert made.size == (output.width, output.height) == size
    assert (output.source_width, output.source_height, output.source_format) == (400, 300, image_format.lower())


@given(
    source=st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
    width=st.none() | st.integers(1, 4_096),
    height=st.none() | st.integers(1, 4_096),
    fit=st.sampled_from(["contain", "cover"]),
    enlarge=st.booleans(),
)
def test_any_plan_stays_within_the_image_and_within_what_was_asked(
    source: tuple[int, int], width: int | None, height: int | None, fit: str, enlarge: bool
) -> None:
    if fit == "cover" and (width is None) != (height is None):
        return
    parameters = ThumbnailParameters.model_validate({"width": width, "height": height, "fit": fit, "enlarge": enlarge})

    plan = make_plan(source, parameters)

    left, top, right, bottom = plan.box
    assert 0 <= left < right <= source[0]
    assert 0 <= top < bottom <= source[1]
    asked = (256, 256) if width is None and height is None else (width or 16_383, height or 16_383)
    assert all(1 <= side <= most for side, most in zip(plan.size, asked, strict=True))
    if not enlarge:
        assert all(side <= most for side, most in zip(plan.size, source, strict=True))
    if fit == "cover" and enlarge:
        assert plan.size == asked


def test_contain_shows_all_and_cover_the_middle() -> None:
    _, contained, _ = run(encoded(picture()), width=200, format="png")
    _, covered, _ = run(encoded(picture()), width=150, height=150, fit="cover", format="png")

    assert difference(contained, picture().resize((200, 150))) < 2
    assert difference(covered, picture().crop((50, 0, 350, 300)).resize((150, 150))) < 2


@pytest.mark.parametrize("source_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_it_is_turned_as_exif_says(source_format: str) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise

    output, made, _ = run(encoded(picture(), source_format, exif=exif), width=60, height=120)

    assert (output.source_width, output.source_height) == (300, 400)
    assert difference(made, picture().rotate(-90, expand=True).resize((60, 80))) < 6
    assert made.getexif() == {}


@pytest.mark.parametrize("made_format", ["png", "webp"])
def test_transparency_is_kept_where_the_format_has_it(made_format: str) -> None:
    clear = picture()
    clear.putalpha(PillowImage.linear_gradient("L").resize(clear.size))

    output, made, _ = run(encoded(clear), width=200, format=made_format)

    assert output.has_alpha
    assert made.mode == "RGBA"
    assert difference(made.getchannel("A"), clear.resize((200, 150)).getchannel("A")) < 4


def test_transparency_becomes_white_in_a_jpeg() -> None:
    output, made, _ = run(encoded(PillowImage.new("RGBA", (40, 40), (0, 0, 0, 0))))

    assert not output.has_alpha
    assert made.getpixel((20, 20)) == (255, 255, 255)


def test_a_picture_without_transparency_gets_none() -> None:
    for made_format in ("png", "webp"):
        output, made, _ = run(encoded(picture()), format=made_format)
        assert (output.has_alpha, made.mode) == (False, "RGB")


def test_colours_are_those_of_the_profile_in_srgb() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # It still calls itself sRGB, but has red and green under each other's names.
    swapped = srgb.replace(b"rXYZ", b"?XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"?XYZ", b"gXYZ", 1)
    red = PillowImage.new("RGBA", (64, 64), (255, 0, 0, 200))

    _, opaque, _ = run(encoded(red.convert("RGB"), "JPEG", quality=95, icc_profile=swapped))
    _, clear, _ = run(encoded(red, icc_profile=swapped), format="png")

    assert difference(opaque, PillowImage.new("RGB", (64, 64), (0, 255, 0))) < 6
    assert clear.getpixel((9, 9)) == pytest.approx((0, 255, 0, 200), abs=3)


@pytest.mark.parametrize("made_format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("parameters", [{"width": 32}, {"width": 4_000}], ids=["smaller", "same size"])
def test_nothing_of_the_file_but_the_picture_remains(made_format: str, parameters: dict[str, Any]) -> None:
    exif = PillowImage.Exif()
    exif[0x010F] = "SECRET camera"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    text = PngInfo()
    text.add_text("Comment", "SECRET place")
    text.add_itxt("XML:com.adobe.xmp", "<SECRET/>")
    sources = [
        encoded(picture(), "JPEG", exif=exif, icc_profile=profile, comment=b"SECRET", xmp=b"<SECRET/>", dpi=(72, 72)),
        encoded(picture(), "PNG", exif=exif, icc_profile=profile, pnginfo=text),
        encoded(picture(), "WEBP", exif=exif, icc_profile=profile, xmp=b"<SECRET/>"),
        encoded(picture().quantize(8), "GIF", comment=b"SECRET"),
        encoded(picture(), "TIFF", exif=exif, icc_profile=profile),
        encoded(picture(), "AVIF", exif=exif, icc_profile=profile, xmp=b"<SECRET/>"),
    ]
    for data in sources:
        _, made, thumbnail = run(data, format=made_format, **parameters)

        assert b"SECRET" not in thumbnail
        made.load()
        assert not {"exif", "icc_profile", "comment", "xmp", "Comment", "XML:com.adobe.xmp", "dpi"} & set(made.info)


def test_quality_is_the_encoders() -> None:
    sizes = [run(encoded(picture()), format="webp", quality=quality)[0].size_bytes for quality in (10, 50, 95)]

    assert sizes == sorted(sizes)
    assert run(encoded(picture()))[2] == run(encoded(picture()), quality=80)[2]


def test_the_output_says_what_was_stored() -> None:
    output, _, data = run(encoded(picture()), format="webp")

    assert (output.size_bytes, output.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert output.operation_version == Thumbnail.version


def test_of_an_animation_the_first_frame_is_shown() -> None:
    frames = [PillowImage.new("RGB", (64, 48), colour) for colour in ("red", "blue")]

    _, made, _ = run(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), format="png")

    assert made.getpixel((5, 5)) == (255, 0, 0)


def test_clear_places_show_the_background_that_is_asked_for() -> None:
    clear = PillowImage.new("RGBA", (40, 40), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (10, 10, 30, 30))

    for made_format in ("jpeg", "png", "webp"):
        output, made, _ = run(encoded(clear), format=made_format, background="#0080FF")
        assert not output.has_alpha
        assert made.convert("RGB").getpixel((2, 2)) == pytest.approx((0, 128, 255), abs=20)
        assert made.convert("RGB").getpixel((20, 20)) == pytest.approx((255, 0, 0), abs=20)


def test_a_white_logo_does_not_vanish_in_a_jpeg() -> None:
    logo = PillowImage.new("RGBA", (40, 40), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (10, 10, 30, 30))

    assert run(encoded(logo))[1].getpixel((2, 2)) == (0, 0, 0)
    assert run(encoded(logo), background="#ffffff")[1].getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("focus", "box"),
    [
        ({"x": 0.0, "y": 0.0}, (0, 0, 300, 300)),
        ({"x": 1.0, "y": 1.0}, (100, 0, 400, 300)),
        ({"x": 0.5, "y": 0.1}, (50, 0, 350, 300)),
        ({"x": 0.45, "y": 0.5}, (30, 0, 330, 300)),
    ],
)
def test_cover_keeps_the_point_of_interest(focus: dict[str, float], box: tuple[int, int, int, int]) -> None:
    _, made, _ = run(encoded(picture()), width=150, height=150, fit="cover", focus=focus, format="png")

    assert difference(made, picture().crop(box).resize((150, 150))) < 2


def animation(source_format: str) -> bytes:
    frames = [PillowImage.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    return encoded(frames[0], source_format, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0)


@pytest.mark.parametrize("source_format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_a_frame_is_shown_by_its_number(source_format: str) -> None:
    colours = [run(animation(source_format), frame=frame, format="png")[1].getpixel((5, 5)) for frame in (0, 1, 2, 9)]

    for found, expected in zip(colours, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 255)], strict=True):
        assert found == pytest.approx(expected, abs=12)


@pytest.mark.parametrize("source_format", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("made_format", ["webp", "png"])
def test_an_animation_is_kept_where_that_is_asked_for(source_format: str, made_format: str) -> None:
    output, made, _ = run(animation(source_format), format=made_format, animation=True, width=32)

    assert (output.frame_count, getattr(made, "n_frames", 1), made.size) == (3, 3, (32, 24))
    shown = []
    for number in range(3):
        made.seek(number)
        made.load()
        shown.append((made.convert("RGB").getpixel((5, 5)), made.info["duration"]))
    for (colour, _), expected in zip(shown, [(255, 0, 0), (0, 255, 0), (0, 0, 255)], strict=True):
        assert colour == pytest.approx(expected, abs=12)
    assert [duration_ms for _, duration_ms in shown] == [100, 200, 300]
    assert run(encoded(picture()), format=made_format, animation=True)[0].frame_count == 1
    assert run(animation(source_format), format=made_format)[0].frame_count == 1


def test_an_animation_that_is_too_large_to_be_kept_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagebatch_server.operations.thumbnail._MOST_MOVING_PX", 1_000)

    with pytest.raises(ItemError, match="3 frames of 64 x 48 pixels are above the limit") as caught:
        run(animation("GIF"), format="webp", animation=True)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"width": 100, "fit": "cover"}, "needs both width and height"),
        ({"format": "png", "quality": 80}, "takes no quality"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"width": 5_000}, "less than or equal to 4096"),
        ({"format": "gif"}, "'jpeg', 'png' or 'webp'"),
        ({"size": 100}, "Extra inputs are not permitted"),
        ({"background": "white"}, "should match pattern"),
        ({"focus": {"x": 0.5, "y": 0.5}}, "use that, or leave focus out"),
        ({"focus": {"x": 2, "y": 0.5}, "fit": "cover", "width": 9, "height": 9}, "less than or equal to 1"),
        ({"animation": True}, "format jpeg can't move"),
        ({"animation": True, "format": "webp", "frame": 1}, "leave one of them out"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ThumbnailParameters.model_validate(parameters)


@pytest.mark.parametrize("size", [(1, 1), (1, 5_000), (5_000, 1)])
@pytest.mark.parametrize("made_format", ["jpeg", "png", "webp"])
def test_odd_shapes_are_made_too(size: tuple[int, int], made_format: str) -> None:
    data = encoded(PillowImage.new("RGB", size, "red"))
    for parameters in ({}, {"fit": "cover"}, {"fit": "cover", "enlarge": True}, {"width": 600, "enlarge": True}):
        output, made, _ = run(data, format=made_format, **parameters)
        assert made.size == (output.width, output.height)


def test_of_a_truncated_file_what_there_is_is_shown_unless_it_has_to_be_whole() -> None:
    data = encoded(picture(), "JPEG")

    output, made, _ = run(data[: len(data) * 3 // 4], width=100)
    assert output.is_truncated
    upper = (0, 0, 100, 30)
    assert difference(made.crop(upper), picture().resize((100, 75)).crop(upper)) < 8
    assert not run(data)[0].is_truncated
    with pytest.raises(ItemError) as caught:
        run(data[: len(data) * 3 // 4], strict=True)
    assert caught.value.code == "decode_failed"
