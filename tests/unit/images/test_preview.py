"""Previews: what people see in the place of an image."""

from __future__ import annotations

import io

import PIL.Image
import pytest
from PIL import ImageCms, ImageStat
from tests.unit.images.crafted import encoded, photo

from imagebatch_server.images.decode import Image
from imagebatch_server.images.preview import MAX_PREVIEW_BYTES, Preview


def shown(preview: Preview) -> PIL.Image.Image:
    assert preview.jpeg is not None
    return PIL.Image.open(io.BytesIO(preview.jpeg))


def test_nothing_is_decoded_for_its_sake() -> None:
    preview = Preview()
    Image.open(encoded(photo(), "png"), preview=preview)
    assert preview.jpeg is None


@pytest.mark.parametrize("longest_side", [None, 300, 40], ids=["whole", "reduced", "reduced below its size"])
def test_it_is_upright_and_small_and_carries_nothing_of_the_file(longest_side: int | None) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a secret"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(photo().resize((960, 640)), "jpeg", exif=exif, icc_profile=profile, comment=b"a secret")
    preview = Preview()
    image = Image.open(data, preview=preview)
    if longest_side is None:
        assert image.pixels.size == (640, 960)
    else:
        image.reduced(longest_side)
    picture = shown(preview)
    assert picture.mode == "RGB"
    assert picture.width < picture.height <= 256
    assert (picture.height == 256) == (longest_side != 40), "a later look may need less than it has"
    assert not {"exif", "icc_profile", "comment"} & set(picture.info)
    assert b"secret" not in (preview.jpeg or b"")
    image.pixels  # noqa: B018 - shows the preview all of it
    assert shown(preview).size == (171, 256)


def test_what_is_clear_is_white_and_small_pictures_keep_their_size() -> None:
    clear = PIL.Image.new("RGBA", (30, 20), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 15, 20))
    preview = Preview()
    Image.open(encoded(clear, "png"), preview=preview).resized((30, 20), keep_alpha=True)
    picture = shown(preview)
    assert picture.size == (30, 20)
    assert min(ImageStat.Stat(picture.crop((20, 5, 28, 15))).mean) > 240
    assert ImageStat.Stat(picture.crop((0, 5, 10, 15))).mean[2] > 200


def test_of_an_animation_it_is_the_first_frame() -> None:
    red, blue = (PIL.Image.new("RGB", (400, 400), colour) for colour in ("red", "blue"))
    data = encoded(red, "gif", save_all=True, append_images=[blue], duration=100)
    preview = Preview()
    assert len(list(Image.open(data, preview=preview).frames((64, 64), (0, 0, 400, 400)))) == 2
    assert ImageStat.Stat(shown(preview)).mean[0] > 240


def test_the_worst_picture_is_not_too_large() -> None:
    preview = Preview()
    Image.open(encoded(PIL.Image.effect_noise((256, 256), 255).convert("RGB"), "png"), preview=preview).pixels  # noqa: B018
    assert preview.jpeg is not None
    assert len(preview.jpeg) < MAX_PREVIEW_BYTES


def test_one_that_can_not_be_made_troubles_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    preview = Preview()
    image = Image.open(encoded(photo(), "png"), preview=preview)
    monkeypatch.setattr(PIL.Image.Image, "save", fail)
    assert image.pixels.size == (96, 64)
    assert preview.jpeg is None
