"""Checks of what can be measured in the pixels: whether there is anything, whether it is sharp and well exposed."""

from __future__ import annotations

import numpy as np
from PIL import Image

from imagebatch_vision.describe.medium import Medium
from imagebatch_vision.describe.quality import MEASURED_SIDE_PX, measure
from imagebatch_vision.verify.output import Check, CheckName, cannot_tell, contradicted, supported

_BLANK_SIDE_PX = 64
_BLANK_LEVELS = 10
"""Averaged to 64 pixels, a camera's noise spans less and one printed word more."""

_BRIGHTEST_SHARE = 0.01
_WHITE_FROM = 0.95


def check_not_blank(scene: Image.Image) -> Check:
    """Whether an RGB image shows anything at all."""
    small = scene.copy()
    small.thumbnail((_BLANK_SIDE_PX, _BLANK_SIDE_PX), Image.Resampling.BOX)
    levels = int(np.ptp(np.asarray(small, dtype=np.int16), axis=(0, 1)).max())
    return _judged(
        "not_blank",
        levels / _BLANK_LEVELS,
        f"Averaged to {_BLANK_SIDE_PX} pixels, its values span {levels} of 255 levels; {_BLANK_LEVELS} are little.",
    )


def check_sharpness(scene: Image.Image, medium: Medium, min_sharpness: float) -> Check:
    """Whether an RGB photograph is sharp."""
    if medium not in ("photograph", "unknown"):
        return cannot_tell("sharpness", f"It is {NAMES[medium]}, and soft shades are no fault of such.")
    measures = measure(scene, is_photograph=True)
    if "low contrast" in measures.verdicts:
        return cannot_tell("sharpness", f"Its contrast is {measures.contrast:.2f}, too low to tell what is sharp.")
    found = f"Its sharpness is {measures.sharpness:.2f}, and {min_sharpness:.2f} is asked for."
    return _judged("sharpness", measures.sharpness / min_sharpness, found)


def check_exposure(scene: Image.Image, medium: Medium, min_highlight: float, max_white_share: float) -> Check:
    """Whether an RGB photograph is neither too dark nor burnt out."""
    if medium not in ("photograph", "unknown"):
        return cannot_tell("exposure", f"It is {NAMES[medium]}, which is not exposed.")
    small = scene.convert("L")
    small.thumbnail((MEASURED_SIDE_PX, MEASURED_SIDE_PX), Image.Resampling.BOX)
    luma = np.asarray(small, dtype=np.float32) / 255.0
    highlight = float(np.quantile(luma, 1.0 - _BRIGHTEST_SHARE))
    white_share = float((luma >= _WHITE_FROM).mean())
    dark = highlight / min_highlight
    burnt = 2.0 - white_share / max_white_share
    if burnt < 1.0 and medium == "unknown":
        # An even white ground makes the medium unknown, and so does a picture that is burnt out.
        found = f"{white_share:.0%} of it is white, which may be its ground, as behind a product or in a scan."
        return cannot_tell("exposure", found)
    if dark <= burnt:
        found = f"Its brightest hundredth has a luma of {highlight:.2f}, and {min_highlight:.2f} is asked for."
        return _judged("exposure", dark, found)
    return _judged("exposure", burnt, f"{white_share:.0%} of it is white, and {max_white_share:.0%} may be.")


NAMES: dict[Medium, str] = {"graphic": "a drawing, chart or screenshot", "page": "a page of text", "blank": "blank"}


def _judged(name: CheckName, ratio: float, detail: str) -> Check:
    """`ratio` is 1 where the figure is just at its limit."""
    score = min(1.0, max(0.0, ratio / 2.0))
    return (supported if ratio >= 1.0 else contradicted)(name, score, detail)
