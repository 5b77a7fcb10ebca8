"""ONNX Runtime sessions as a worker's child needs them: one thread, and memory given back."""

from __future__ import annotations

from typing import Any


def open_session(model: bytes | str) -> Any:
    """Load a model from its bytes or its path, to run on one core.

    Without the memory arena, which would keep each shape's largest buffers for ever: 800 MB instead of 290 after pages
    of several sizes, and no slower.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
