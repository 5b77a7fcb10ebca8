"""Weights of nearly nothing are taken out of a model, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imagebatch_vision.describe.tiny_weights import read_model

FLOATS, INTEGERS = b"\x10\x01", b"\x10\x07"
"""A tensor's type, in the form of ONNX's files."""


def field(number: int, content: bytes) -> bytes:
    length, rest = len(content) & 0x7F, len(content) >> 7
    return bytes([number << 3 | 2, length | 0x80, rest]) + content


def model_of(weights: list[float], shape: list[int]) -> bytes:
    held = field(5, FLOATS + field(8, b"weights") + field(9, np.array(weights, "<f4").tobytes()))
    sizes = field(5, INTEGERS + field(8, b"shape") + field(9, np.array(shape, "<i8").tobytes()))
    return b"\x08\x0a" + field(2, b"made by hand") + field(7, field(1, b"a layer") + held + sizes)


def test_weights_of_nearly_nothing_become_zero_and_whole_numbers_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of([1.5, -1e-40, 1e-21, -1e-19, 0.0], [1, 3, -1]))

    assert read_model(path) == model_of([1.5, 0.0, 0.0, -1e-19, 0.0], [1, 3, -1])
