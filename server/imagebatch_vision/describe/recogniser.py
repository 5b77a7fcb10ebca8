"""What a photograph shows: classifier, detector and face finder are asked, and their answers weighed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from imagebatch_vision.describe import classifier, detector, faces
from imagebatch_vision.describe.classifier import Classifier
from imagebatch_vision.describe.detector import Detector
from imagebatch_vision.describe.faces import FaceFinder
from imagebatch_vision.describe.things import PERSON
from imagebatch_vision.describe.weighing import Recognition, Sight, Weighing

_FAR_PX, _NEAR_PX = 416, 256
"""Small things need the larger picture, things that fill the frame are told better in the smaller one."""
_SECOND_SIGHT_PX = 320
_FACES_FROM_SCORE = 0.15
"""Below this score of its likeliest person no photograph of 192 showed a face."""


class Recogniser:
    """Three loaded models; not for use by several threads at once."""

    def __init__(self) -> None:
        self._classifier = Classifier()
        self._detector = Detector()
        self._faces = FaceFinder()
        self.vocabulary = self._classifier.vocabulary
        self._weighing = Weighing(self.vocabulary)
        self.model_sha256s: Mapping[str, str] = {
            classifier.MODEL_NAME: self._classifier.model_sha256,
            detector.MODEL_NAME: self._detector.model_sha256,
            faces.MODEL_NAME: self._faces.model_sha256,
        }

    def look(self, image: Image.Image) -> Recognition:
        """Recognise what an RGB photograph shows; 0.1 s, and 0.03 s more where there are people."""
        far, near = self._detector.find(image, _FAR_PX), self._detector.find(image, _NEAR_PX)
        scores = (far.best + near.best) * np.float32(0.5)
        found_faces = self._faces.find(image) if scores[PERSON] >= _FACES_FROM_SCORE else []
        return self._weighing.weigh(Sight(self._classifier.terms(image), scores, far.found, found_faces))

    def look_from_other_views(self, image: Image.Image) -> Recognition:
        """Do the same from other views, all mirrored: a second opinion that costs 0.1 s."""
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        found = self._detector.find(mirrored, _SECOND_SIGHT_PX)
        found_faces = self._faces.find(mirrored) if found.best[PERSON] >= _FACES_FROM_SCORE else []
        return self._weighing.weigh(
            Sight(self._classifier.terms_of_other_views(image), found.best, found.found, found_faces)
        )
