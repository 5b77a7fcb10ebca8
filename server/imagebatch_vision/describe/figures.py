"""Measured figures, as the output gives them."""

from __future__ import annotations

from imagebatch_vision.describe.colours import Palette
from imagebatch_vision.describe.output import DominantColour, Quality
from imagebatch_vision.describe.quality import Measures


def colours_of(palette: Palette) -> list[DominantColour]:
    """Give the dominant colours."""
    return [DominantColour(name=it.name, hex=it.hex, share=round(it.share, 3)) for it in palette.colours]


def quality_of(measures: Measures) -> Quality:
    """Give the measured quality."""
    return Quality(
        sharpness=round(measures.sharpness, 3),
        brightness=round(measures.brightness, 3),
        contrast=round(measures.contrast, 3),
        verdicts=list(measures.verdicts),
    )
