"""Make the models in eight bits, which `describe` runs, from those in `exact_models`, which no package carries.

    pip install onnx
    python scripts/quantise_models.py PHOTOGRAPHS

PHOTOGRAPHS is a folder of JPEGs by which the range of each layer's values is found: `images/train2017` of the public
repository coco128_yolo of lightly-ai, of which the first 48 by name are used. The calibration of `describe` was fitted
on them too; nothing that is held out for `benchmarks/quality` is among them.

Activations take 8 bits, weights 7, channel by channel: with 7 two products fit the 16 bits in which AVX2 adds them, so
that a processor with VNNI, which adds in 32, and one without give the same answers.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image

from imagebatch_vision.describe import classifier, detector, faces

EXACT_MODELS = Path(__file__).with_name("exact_models")
PHOTOGRAPHS = 48
DETECTOR_PX = 416
"""The larger of the two sizes that the detector sees."""
OPSET = 13
"""The first in which weights have a scale for each channel."""

Planes = npt.NDArray[np.float32]


class Inputs(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime's has no types
    """What a model sees of the photographs."""

    def __init__(self, photographs: list[Path], planes_of: Callable[[Image.Image], Planes]) -> None:
        self._inputs: Iterator[Planes] = (planes_of(Image.open(it).convert("RGB")) for it in photographs)

    def get_next(self) -> dict[str, Planes] | None:
        planes = next(self._inputs, None)
        return None if planes is None else {"image": planes}


def quantise(exact: Path, quantised: Path, inputs: Inputs, operators: list[str] | None) -> None:
    """Write a model in eight bits; `operators` are those that are computed so, None for all that can be."""
    with tempfile.TemporaryDirectory() as folder:
        raised, folded = Path(folder) / "raised.onnx", Path(folder) / "folded.onnx"
        onnx.save(onnx.version_converter.convert_version(onnx.load(exact), OPSET), raised)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        onnxruntime.InferenceSession(str(raised), options, providers=["CPUExecutionProvider"])
        quantize_static(
            str(folded),
            str(quantised),
            inputs,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=operators,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the models in eight bits.")
    parser.add_argument("photographs", type=Path, help="a folder of JPEGs")
    found = sorted(parser.parse_args().photographs.glob("*.jpg"))[:PHOTOGRAPHS]
    if len(found) < PHOTOGRAPHS:
        parser.error(f"there are {len(found)} JPEGs; {PHOTOGRAPHS} are needed")
    by_classifier = Inputs(found, lambda image: classifier.planes_of(classifier.views_of(image)))
    by_detector = Inputs(found, lambda image: detector.planes_of(image, DETECTOR_PX))
    by_face_finder = Inputs(found, faces.planes_of)
    quantise(EXACT_MODELS / "efficientnet_lite2.onnx", classifier.MODEL_PATH, by_classifier, None)
    # Its activations, leaky ones, are no faster in eight bits than exact.
    quantise(EXACT_MODELS / "nanodet_g.onnx", detector.MODEL_PATH, by_detector, ["Conv"])
    quantise(EXACT_MODELS / "centerface.onnx", faces.MODEL_PATH, by_face_finder, None)
    for path in (classifier.MODEL_PATH, detector.MODEL_PATH, faces.MODEL_PATH):
        data = path.read_bytes()
        print(f"{path}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
