"""What becomes of an item in the child: every ending but a crash is made a `Done` here."""

from __future__ import annotations

import hashlib
import traceback

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.messages import (
    MAX_MESSAGE_BYTES,
    MAX_OUTPUT_BYTES,
    MAX_STORED_BYTES,
    Done,
    StoredImage,
)
from imagebatch_server.operations.base import MeteredOutput, Output, Stored

TRACEBACK_CHARACTERS = 8_000

# How native libraries say that an allocation failed: std::bad_alloc by way of pybind11, OpenCV, onnxruntime's arena.
_OUT_OF_MEMORY_TEXTS = ("bad_alloc", "bad allocation", "Insufficient memory", "Failed to allocate memory")


def success(operation: str, result: object, sha256: str) -> Done:
    """What an operation answered. Raises ValueError for an output that no Struct can hold."""
    stored = None
    if isinstance(result, Stored):
        if len(result.data) > MAX_STORED_BYTES:
            return internal(
                sha256,
                f"operation {operation} made an image of {len(result.data):,} bytes, the limit is "
                f"{MAX_STORED_BYTES:,}; ask for a smaller one",
            )
        stored = StoredImage(result.data, hashlib.sha256(result.data).hexdigest(), result.content_type)
        result = result.output
    if not isinstance(result, Output):
        return internal(
            sha256, f"operation {operation} returned {type(result).__name__}; it must return Output or Stored"
        )
    output = structs.from_dict(result.model_dump(mode="json", exclude_none=True))
    if len(output) > MAX_OUTPUT_BYTES:
        return internal(
            sha256,
            f"operation {operation} answered with {len(output):,} bytes, the limit is {MAX_OUTPUT_BYTES:,}; "
            "it must say less, or store an image",
        )
    done = Done(0, sha256, output=output, stored=stored)
    if isinstance(result, MeteredOutput):
        done.input_tokens, done.output_tokens = result.input_tokens or 0, result.output_tokens or 0
    return done


def failure(operation: str, error: Exception, sha256: str) -> Done:
    """What it raised. Raises MemoryError if that was, or came of, memory that had run out."""
    if isinstance(error, ItemError):
        return Done(
            0,
            sha256,
            error_code=error.code,
            error_message=shortened(error.message),
            transient=error.transient,
            retry_after_s=error.retry_after_s,
        )
    if _is_out_of_memory(error):
        raise MemoryError from error
    done = internal(sha256, f"operation {operation} failed: {type(error).__name__}: {error}")
    done.traceback = traced(error)
    return done


def internal(sha256: str, message: str) -> Done:
    """The operation, or the server, is at fault."""
    return Done(0, sha256, error_code=ItemErrorCode.INTERNAL, error_message=shortened(message))


def traced(error: Exception) -> str:
    """Where it was raised: the end of its traceback, for the log."""
    text = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    return text.encode(errors="replace").decode()  # an error may quote half a surrogate pair, which no frame can carry


def shortened(message: str) -> str:
    """As much of a message as an item may carry."""
    encoded = message.encode(errors="replace")
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[: MAX_MESSAGE_BYTES - 3].decode(errors="ignore") + "..."


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False
