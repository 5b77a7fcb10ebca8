"""The operation `describe`: what an image shows, from models that ship with the server."""

from __future__ import annotations

from typing import ClassVar

from PIL import Image as PillowImage

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters
from imagebatch_server.operations.describe.calibration import TAGGED_FROM, Suggestion, most_telling
from imagebatch_server.operations.describe.classifier import MODEL_NAME, Classifier
from imagebatch_server.operations.describe.colours import Palette, find_palette
from imagebatch_server.operations.describe.medium import Medium, judge_medium
from imagebatch_server.operations.describe.output import (
    DescribeOutput,
    DescribeParameters,
    DominantColour,
    Quality,
    Tag,
)
from imagebatch_server.operations.describe.quality import Measures, measure
from imagebatch_server.operations.describe.reader import (
    SCENE_PX,
    TEXT_MODEL_NAME,
    Line,
    TextReader,
    closer_look,
    gains_by_closer_look,
)
from imagebatch_server.operations.describe.sentence import Findings, compose

_PAGE_FROM_SHARE = 0.10
_PAGE_FROM_LINES = 5
_PAGE_FROM_CHARACTERS = 120
_MOST_TAGS = 10
_LYING_ORIENTATIONS = (5, 6, 7, 8)


class Describe(Operation[DescribeParameters]):
    """Describes an image offline: subject, text, colours and quality, each only as far as it was recognised."""

    name: ClassVar[str] = "describe"
    version: ClassVar[str] = "1.0.0"
    description: ClassVar[str] = (
        "Describes an image in plain English: what it looks like, the text in it, its colours and quality, with a "
        "calibrated confidence. Runs offline and says so where it recognises nothing."
    )
    parameters: ClassVar[type[Parameters]] = DescribeParameters
    output: ClassVar[type[Output]] = DescribeOutput

    def load(self) -> None:
        """Load the models and run each once; 0.9 s, after which the process has about 200 MB.

        Raises FileNotFoundError where the installed RapidOCR carries other models than ours.
        """
        self._classifier = Classifier()
        self._reader = TextReader()
        self._classifier.suggest(PillowImage.new("RGB", (256, 256)))

    def run(self, image: Image, parameters: DescribeParameters, item: ItemContext) -> DescribeOutput:
        """Describe the first frame; 0.1 s for a scene without text, seconds for a full page.

        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        scene = image.reduced(SCENE_PX)
        medium: Medium = judge_medium(scene)
        lines = self._read(image, scene, parameters, medium)
        medium = "page" if _is_page(lines or ()) else medium
        suggestions = self._classifier.suggest(scene) if medium in ("photograph", "unknown") else []
        measures = measure(scene, is_photograph=medium == "photograph")
        palette = find_palette(scene)
        lying = image.orientation in _LYING_ORIENTATIONS
        findings = Findings(
            medium=medium,
            subject=most_telling(suggestions),
            best_guess=max((it.confidence for it in suggestions if it.term.is_stated), default=0.0),
            lines=lines or (),
            palette=palette,
            verdicts=measures.verdicts,
            width=image.height if lying else image.width,
            height=image.width if lying else image.height,
            frame_count=image.frame_count,
        )
        return self._output(image, findings, measures, _tags(suggestions), has_read=lines is not None)

    def _read(
        self, image: Image, scene: PillowImage.Image, parameters: DescribeParameters, medium: Medium
    ) -> tuple[Line, ...] | None:
        if parameters.read_text == "never":
            return None
        if medium == "blank":
            return ()
        if parameters.read_text == "always":
            return self._reader.read(closer_look(image))
        # Most drawings, charts and screenshots have text, often too small to be seen at a glance.
        share = 1.0 if medium == "graphic" else self._reader.glance(scene)
        if share >= _PAGE_FROM_SHARE and gains_by_closer_look(image) and self._reader.shows_page(scene):
            return self._reader.read(closer_look(image))
        return self._reader.read(scene) if share > 0 else ()

    def _output(
        self, image: Image, findings: Findings, measures: Measures, tags: list[Tag], *, has_read: bool
    ) -> DescribeOutput:
        sentence = compose(findings)
        return DescribeOutput(
            description=sentence.text,
            confidence_score=round(sentence.confidence, 3),
            medium=findings.medium,
            tags=tags,
            visible_text=[line.text for line in findings.lines] if has_read else None,
            format=image.format,
            width=findings.width,
            height=findings.height,
            size_bytes=image.size_bytes,
            frame_count=image.frame_count,
            dominant_colours=_colours(findings.palette),
            quality=_quality(measures),
            operation_version=self.version,
            model=MODEL_NAME,
            model_sha256=self._classifier.model_sha256,
            text_model=TEXT_MODEL_NAME,
        )


def _is_page(lines: tuple[Line, ...]) -> bool:
    return len(lines) >= _PAGE_FROM_LINES and sum(len(line.text) for line in lines) >= _PAGE_FROM_CHARACTERS


def _tags(suggestions: list[Suggestion]) -> list[Tag]:
    likely = [it for it in suggestions if it.confidence >= TAGGED_FROM]
    return [Tag(name=it.term.name, confidence=round(it.confidence, 3)) for it in likely[:_MOST_TAGS]]


def _colours(palette: Palette) -> list[DominantColour]:
    return [DominantColour(name=it.name, hex=it.hex, share=round(it.share, 3)) for it in palette.colours]


def _quality(measures: Measures) -> Quality:
    return Quality(
        sharpness=round(measures.sharpness, 3),
        brightness=round(measures.brightness, 3),
        contrast=round(measures.contrast, 3),
        verdicts=list(measures.verdicts),
    )
