"""The models that `verify` asks, each loaded when an image first needs it."""

from __future__ import annotations

from functools import cached_property

from PIL import Image as PillowImage

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.describe.calibration import Suggestion
from imagebatch_server.operations.describe.classifier import MODEL_NAME, Classifier
from imagebatch_server.operations.describe.reader import TextReader, closer_look, gains_by_closer_look
from imagebatch_server.operations.verify.output import ModelUsed


class Models:
    """A batch that expects neither text nor labels loads nothing. Not for use by several threads at once."""

    @cached_property
    def _reader(self) -> TextReader:
        return TextReader()

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier()

    @property
    def of_reader(self) -> list[ModelUsed]:
        """What reads: a detector and a recogniser."""
        return [ModelUsed(name=name, sha256=sha256) for name, sha256 in self._reader.model_sha256s.items()]

    @property
    def of_classifier(self) -> ModelUsed:
        """What suggests."""
        return ModelUsed(name=MODEL_NAME, sha256=self._classifier.model_sha256)

    def read(self, scene: PillowImage.Image) -> list[str]:
        """Lines of text in an RGB image; 0.1 to 0.3 s and about 2 ms for each letter."""
        return [line.text for line in self._reader.read(scene)]

    def read_closely(self, image: Image) -> list[str]:
        """Lines of small print, nothing where a closer look would see no more; up to some seconds for a page."""
        return self.read(closer_look(image)) if gains_by_closer_look(image) else []

    def suggest(self, scene: PillowImage.Image) -> list[Suggestion]:
        """What an RGB photograph looks like, most confident first; 20 ms."""
        return self._classifier.suggest(scene)
