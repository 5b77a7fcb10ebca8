"""What becomes of an item in the child: every ending but a crash is made a `Done` here."""

from __future__ import annotations

import hashlib
import traceback

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError, short_text
from imagebatch_server.batches.model import Outcome
from imagebatch_server.executors.protocol.answers import fault_of
from imagebatch_server.executors.protocol.messages import Done, StoredImage, Task
from imagebatch_server.images.preview import Preview
from imagebatch_server.limits import MAX_OUTPUT_BYTES
from imagebatch_server.operations.base import MeteredOutput, Output, Stored

TRACEBACK_CHARACTERS = 8_000

# How native libraries say that an allocation failed: std::bad_alloc by way of pybind11, OpenCV, onnxruntime's arena.
_OUT_OF_MEMORY_TEXTS = ("bad_alloc", "bad allocation", "Insufficient memory", "Failed to allocate memory")


def success(task: Task, operation: str, result: object, sha256: str) -> Done:
    """Check what an operation answered. Raises ValueError for an output that no Struct can hold."""
    stored = None
    if isinstance(result, Stored):
        stored = StoredImage(result.data, hashlib.sha256(result.data).hexdigest(), result.content_type)
        result = result.output
    if not isinstance(result, Output):
        return internal(
            task, f"operation {operation} returned {type(result).__name__}; it must return Output or Stored", sha256
        )
    output = structs.from_dict(result.model_dump(mode="json", exclude_none=True))
    metered = result if isinstance(result, MeteredOutput) else None
    outcome = Outcome(
        task.item_index,
        BatchItemStatus.SUCCESS,
        output_data=output,
        image_sha256=sha256,
        input_tokens=(metered and metered.input_tokens) or 0,
        output_tokens=(metered and metered.output_tokens) or 0,
    )
    done = Done(outcome, stored=stored)
    if stored is None and metered is None and len(output) <= MAX_OUTPUT_BYTES:
        return done  # the rest of it is the child's own word
    return _checked(task, operation, done)


def failure(
    task: Task, operation: str, error: Exception, sha256: str | None = None, image_format: str | None = None
) -> Done:
    """Report what it raised; `sha256` and, if it is known, `image_format` unless the image was not looked at.

    Raises MemoryError if that was, or came of, memory that had run out.
    """
    if isinstance(error, ItemError):
        outcome = _failed(task, error.code, error.message, sha256, image_format)
        done = Done(outcome, transient=bool(error.transient), busy=bool(error.busy), retry_after_s=error.retry_after_s)
        return _checked(task, operation, done)
    if _is_out_of_memory(error):
        raise MemoryError from error
    done = internal(task, f"operation {operation} failed: {type(error).__name__}: {error}", sha256, image_format)
    done.traceback = traced(error)
    return done


def internal(task: Task, message: str, sha256: str | None = None, image_format: str | None = None) -> Done:
    """Report that the operation, or the server, is at fault."""
    return Done(_failed(task, ItemErrorCode.INTERNAL, message, sha256, image_format))


def add_preview(done: Done, preview: Preview | None) -> None:
    """Add the preview that was taken, if one was, unless another attempt may follow, which takes its own."""
    if preview is not None and not done.transient:
        done.preview = preview.jpeg


def _checked(task: Task, operation: str, done: Done) -> Done:
    fault = fault_of(done)
    if fault is None:
        return done
    return internal(
        task, f"operation {operation} answered with {fault}", done.outcome.image_sha256, done.outcome.image_format
    )


def _failed(task: Task, code: ItemErrorCode, message: str, sha256: str | None, image_format: str | None) -> Outcome:
    return Outcome(
        task.item_index,
        BatchItemStatus.FAILED,
        code,
        short_text(message),
        image_sha256=sha256,
        image_format=image_format,
    )


def traced(error: Exception) -> str:
    """Where it was raised: the end of its traceback, for the log."""
    text = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    return text.encode(errors="replace").decode()  # an error may quote half a surrogate pair, which no frame can carry


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False
