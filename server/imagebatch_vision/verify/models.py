"""The models that `verify` asks, each loaded when an image first needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image as PillowImage

from imagebatch_server.operations import Image
from imagebatch_vision.describe.calibration import Suggestion
from imagebatch_vision.describe.output import ModelUsed
from imagebatch_vision.describe.reader import TextReader, closer_look, gains_by_closer_look
from imagebatch_vision.describe.recogniser import Recogniser
from imagebatch_vision.describe.unloading import Unloading

_MOST_LINES = 500
"""Of an image; they take some 20 s."""


class Models:
    """A batch that expects neither text nor labels loads nothing. Not for use by several threads at once."""

    def __init__(self, unload_after_s: float) -> None:
        self._unloading_reader = Unloading(TextReader, unload_after_s)
        self._unloading_recogniser = Unloading(Recogniser, unload_after_s)

    @property
    def _reader(self) -> TextReader:
        return self._unloading_reader.get()

    @property
    def _recogniser(self) -> Recogniser:
        return self._unloading_recogniser.get()

    @property
    def of_reading(self) -> list[ModelUsed]:
        """Those that find text and read it."""
        return _used(self._reader.model_sha256s)

    @property
    def of_recognition(self) -> list[ModelUsed]:
        """Those that say what a photograph shows."""
        return _used(self._recogniser.model_sha256s)

    def read(self, scene: PillowImage.Image) -> list[str]:
        """Lines of text in an RGB image; 0.1 to 0.3 s and about 2 ms for each letter."""
        return [line.text for line in self._reader.read(scene)]

    def read_closely(self, image: Image) -> list[str]:
        """Read small print too, some seconds for a page; answers nothing where a closer look would see no more."""
        if not gains_by_closer_look(image):
            return []
        return [line.text for line in self._reader.read_up_to(closer_look(image), _MOST_LINES, closely=True).lines]

    def suggest(self, scene: PillowImage.Image) -> Sequence[Suggestion]:
        """Suggest what an RGB photograph shows, most confident first; 0.1 s."""
        return self._recogniser.look(scene).suggestions


def _used(sha256s: Mapping[str, str]) -> list[ModelUsed]:
    return [ModelUsed(name=name, sha256=sha256) for name, sha256 in sha256s.items()]
