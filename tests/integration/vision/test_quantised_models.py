"""The models in eight bits answer as the exact ones do that they were made from, on photographs not used for that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pytest
import skimage
import sklearn
from PIL import Image
from tests.server import REPOSITORY

from imagebatch_vision.describe import classifier, detector, faces
from imagebatch_vision.describe.sessions import open_session

EXACT_MODELS = REPOSITORY / "scripts" / "exact_models"
SKIMAGE = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = [
    *(SKIMAGE / name for name in ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png")),
    Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg",
    Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg",
]

Answers = npt.NDArray[np.float32]


def asked(path: Path, output: str, inputs: Iterator[npt.NDArray[np.float32]]) -> list[Answers]:
    session = open_session(path)
    return [session.run([output], {"image": planes})[0] for planes in inputs]


def photographs() -> Iterator[Image.Image]:
    return (Image.open(path).convert("RGB") for path in PHOTOGRAPHS)


def shares(path: Path) -> Answers:
    views = (classifier.planes_of(classifier.views_of(image)) for image in photographs())
    odds = np.exp(np.concatenate(asked(path, "logits", views)))
    normalised: Answers = odds / odds.sum(axis=1, keepdims=True)
    return normalised


def test_the_classifier_gives_each_class_nearly_the_same_share() -> None:
    exact, quantised = shares(EXACT_MODELS / "efficientnet_lite2.onnx"), shares(classifier.MODEL_PATH)

    assert np.abs(exact - quantised).max(axis=1).mean() < 0.06
    sure = exact.max(axis=1) >= 0.5
    assert sure.sum() >= 4
    assert (exact.argmax(axis=1) == quantised.argmax(axis=1))[sure].all()


@pytest.mark.parametrize("side_px", [416, 256])
def test_the_detector_sees_the_same_things_with_nearly_the_same_scores(side_px: int) -> None:
    def best(path: Path) -> Answers:
        planes = (detector.planes_of(image, side_px) for image in photographs())
        return np.stack([scores[0].max(axis=0) for scores in asked(path, "scores", planes)])

    exact, quantised = best(EXACT_MODELS / "nanodet_g.onnx"), best(detector.MODEL_PATH)

    assert np.abs(exact - quantised).max(axis=1).mean() < 0.08
    clear = exact.max(axis=1) >= 0.5
    assert clear.sum() >= 4
    assert (exact.argmax(axis=1) == quantised.argmax(axis=1))[clear].all()


def test_the_face_finder_sees_the_same_faces_with_nearly_the_same_score() -> None:
    def best(path: Path) -> Answers:
        planes = (faces.planes_of(image) for image in photographs())
        return np.array([likelihood.max() for likelihood in asked(path, "likelihood", planes)])

    exact, quantised = best(EXACT_MODELS / "centerface.onnx"), best(faces.MODEL_PATH)

    assert np.abs(exact - quantised).mean() < 0.05
    assert (exact >= 0.5).sum() >= 2
    assert ((exact >= 0.5) == (quantised >= 0.5)).all()
