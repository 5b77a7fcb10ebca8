"""The operation `describe`: what an image shows, from models that ship with the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL import Image as PillowImage

from imagebatch_server.operations import (
    BaseOperation,
    Image,
    ItemContext,
    Operation,
    OperationSettings,
    Output,
    Parameters,
)
from imagebatch_vision.describe.by_endpoint import DescribeByEndpoint
from imagebatch_vision.describe.calibration import TAGGED_FROM, Suggestion
from imagebatch_vision.describe.colours import find_palette
from imagebatch_vision.describe.cross_check import agrees, reads_alike
from imagebatch_vision.describe.figures import colours_of, quality_of
from imagebatch_vision.describe.found import faces_of, objects_of, text_lines_of
from imagebatch_vision.describe.medium import Medium, judge_medium
from imagebatch_vision.describe.output import (
    VERSION,
    DescribeOutput,
    DescribeParameters,
    ModelUsed,
    Tag,
)
from imagebatch_vision.describe.quality import measure
from imagebatch_vision.describe.reader import (
    SCENE_PX,
    Line,
    Reading,
    TextReader,
    closer_look,
    gains_by_closer_look,
    is_strip,
)
from imagebatch_vision.describe.recogniser import Recogniser
from imagebatch_vision.describe.sentence import Findings, Sentence, compose
from imagebatch_vision.describe.sessions import MOST_HELD_BYTES, give_memory_back
from imagebatch_vision.describe.statements import Statement, choose
from imagebatch_vision.describe.unloading import Unloading
from imagebatch_vision.describe.weighing import Recognition
from imagebatch_vision.settings import VisionSettings

_PAGE_FROM_SHARE = 0.10
_PAGE_FROM_BOXES = 4
_PAGE_FROM_LINES = 5
_PAGE_FROM_CHARACTERS = 120
_MOST_TAGS = 10
_LYING_ORIENTATIONS = (5, 6, 7, 8)
_RECOGNISED: tuple[Medium, ...] = ("photograph", "unknown")
_NOTHING = Recognition((), ())
_SECOND_SCALE = 0.85
"""Of the pixels that text is read from again."""


class Describe(Operation[DescribeParameters]):
    """Describe an image offline: subject, text, colours and quality, each only as far as it was recognised."""

    name: ClassVar[str] = "describe"
    version: ClassVar[str] = VERSION
    description: ClassVar[str] = (
        "Describes an image in plain English: what it looks like, the text in it, its colours and quality, with a "
        "calibrated confidence. Runs offline and says so where it recognises nothing; or, with backend openai, asks a "
        "vision model behind an endpoint."
    )
    parameters: ClassVar[type[Parameters]] = DescribeParameters
    output: ClassVar[type[Output]] = DescribeOutput
    backends: ClassVar[Mapping[str, type[BaseOperation[Any]]]] = {"openai": DescribeByEndpoint}
    settings: ClassVar[type[OperationSettings]] = VisionSettings
    configured: VisionSettings = VisionSettings()

    def load(self) -> None:
        """Load the models and run each once; 1 s, after which the process has about 180 MB.

        Raises FileNotFoundError where the installed RapidOCR carries other models than ours.
        """
        after_s = self.configured.unload_after_s
        self._unloading_recogniser = Unloading(_warm_recogniser, after_s)
        self._unloading_reader = Unloading(TextReader, after_s)
        self._unloading_recogniser.get()
        self._unloading_reader.get()
        give_memory_back()

    @property
    def _recogniser(self) -> Recogniser:
        return self._unloading_recogniser.get()

    @property
    def _reader(self) -> TextReader:
        return self._unloading_reader.get()

    def run(self, image: Image, parameters: DescribeParameters, item: ItemContext) -> DescribeOutput:
        """Describe the first frame; 0.2 s for a scene without text, up to some seconds with it.

        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        scene = image.reduced(SCENE_PX, coarsely=True)
        pixels = closer_look(image) if is_strip(image.upright_size) else scene
        medium: Medium = _medium_of(scene, pixels)
        text, source = self._read(image, pixels, parameters, medium)
        lines = text.lines if text else ()
        medium = "page" if _is_page(lines) else medium
        has_looked = medium in _RECOGNISED
        recognition = self._recogniser.look(scene) if has_looked else _NOTHING
        is_of_text = text is not None and text.share >= _PAGE_FROM_SHARE
        measures = measure(scene, is_photograph=medium == "photograph" and not is_of_text)
        palette = find_palette(scene)
        lying = image.orientation in _LYING_ORIENTATIONS
        findings = Findings(
            medium=medium,
            statements=choose(recognition, self._recogniser.vocabulary),
            best_guess=max((it.confidence for it in recognition.suggestions if it.term.is_stated), default=0.0),
            lines=lines,
            is_cut=text.is_cut if text else False,
            palette=palette,
            verdicts=measures.verdicts,
            width=image.height if lying else image.width,
            height=image.width if lying else image.height,
            frame_count=image.frame_count,
            captured_at=image.captured_at,
        )
        sentence = compose(findings)
        is_verified = self._cross_check(scene, source, findings, sentence) if parameters.cross_check else None
        give_memory_back(MOST_HELD_BYTES)
        return DescribeOutput(
            description=sentence.text,
            confidence_score=round(sentence.confidence, 3),
            is_verified=is_verified,
            medium=medium,
            tags=_tags(findings.statements, recognition.suggestions),
            visible_text=[line.text for line in lines] if text else None,
            text_lines=text_lines_of(lines) if text else None,
            objects=objects_of(recognition) if has_looked else None,
            faces=faces_of(recognition) if has_looked else None,
            text_is_cut=findings.is_cut,
            captured_at=None if image.captured_at is None else image.captured_at.isoformat(),
            format=image.format,
            width=findings.width,
            height=findings.height,
            size_bytes=image.size_bytes,
            frame_count=image.frame_count,
            dominant_colours=colours_of(palette),
            quality=quality_of(measures),
            operation_version=self.version,
            is_truncated=image.is_truncated,
            is_preview=image.is_preview,
            models=self._models(has_looked=has_looked, has_read=text is not None),
        )

    def _read(
        self, image: Image, pixels: PillowImage.Image, parameters: DescribeParameters, medium: Medium
    ) -> tuple[Reading | None, PillowImage.Image]:
        """Read the text; answers None where nothing was looked for, and the pixels that were read."""
        most = parameters.max_text_lines
        if parameters.read_text == "never":
            return None, pixels
        if medium == "blank":
            return Reading((), is_cut=False), pixels
        if parameters.read_text == "always":
            return self._read_closely(image, most, closely=True)
        # Most drawings, charts and screenshots have text, often too small to be seen at a glance.
        glance = None if medium == "graphic" else self._reader.glance(pixels)
        quads = self._reader.find(pixels, glance)
        is_full = glance is None or glance.share >= _PAGE_FROM_SHARE
        is_seen_whole = is_strip(image.upright_size) or not gains_by_closer_look(image)
        if is_full and len(quads) >= _PAGE_FROM_BOXES and not is_seen_whole:
            return self._read_closely(image, most)
        return self._reader.read_found(pixels, quads, most), pixels

    def _read_closely(
        self, image: Image, most_lines: int, *, closely: bool = False
    ) -> tuple[Reading, PillowImage.Image]:
        source = closer_look(image)
        return self._reader.read_up_to(source, most_lines, closely=closely), source

    def _cross_check(
        self, scene: PillowImage.Image, source: PillowImage.Image, findings: Findings, sentence: Sentence
    ) -> bool:
        """Whether another look bears out every statement of the sentence; false where it states nothing."""
        if findings.medium == "blank":
            return True
        if not findings.statements and not sentence.quoted:
            return False
        again = self._recogniser.look_from_other_views(scene) if findings.statements else _NOTHING
        read = self._reader.read_up_to(_otherwise(source), None).lines if sentence.quoted else ()
        return agrees(findings.statements, again) and reads_alike(sentence.quoted, read)

    def _models(self, *, has_looked: bool, has_read: bool) -> list[ModelUsed]:
        used = {
            **(self._recogniser.model_sha256s if has_looked else {}),
            **(self._reader.model_sha256s if has_read else {}),
        }
        return [ModelUsed(name=name, sha256=sha256) for name, sha256 in used.items()]


def _warm_recogniser() -> Recogniser:
    recogniser = Recogniser()
    recogniser.look(PillowImage.new("RGB", (256, 256)))
    return recogniser


def _medium_of(scene: PillowImage.Image, pixels: PillowImage.Image) -> Medium:
    """Judge a strip by its middle: brought down to be looked at whole, its letters would be shades of grey."""
    whole = judge_medium(scene)
    if whole == "blank" or not is_strip(pixels.size):
        return whole
    side, (width, height) = min(pixels.size), pixels.size
    left, top = (width - side) // 2, (height - side) // 2
    middle = judge_medium(pixels.crop((left, top, left + side, top + side)))
    return "unknown" if middle == "blank" else middle


def _otherwise(source: PillowImage.Image) -> PillowImage.Image:
    """Show the same text in other pixels."""
    size = max(1, round(source.width * _SECOND_SCALE)), max(1, round(source.height * _SECOND_SCALE))
    return source.resize(size, PillowImage.Resampling.BICUBIC)


def _is_page(lines: Sequence[Line]) -> bool:
    return len(lines) >= _PAGE_FROM_LINES and sum(len(line.text) for line in lines) >= _PAGE_FROM_CHARACTERS


def _tags(statements: Sequence[Statement], suggestions: Sequence[Suggestion]) -> list[Tag]:
    """List what is said, then what is likely without being said, most confident first."""
    likely = {it.term.name: it.confidence for it in suggestions if it.confidence >= TAGGED_FROM}
    tags = {**{it.name: it.confidence for it in statements}, **likely}
    first = sorted(tags, key=lambda name: -tags[name])[:_MOST_TAGS]
    return [Tag(name=name, confidence=round(tags[name], 3)) for name in first]
