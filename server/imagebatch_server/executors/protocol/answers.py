"""What a child may answer: whole, in range and in characters that every store and every caller can take.

The child checks what its operations answer, so that they are told in the item's own error; the server checks it again,
for the child's decoder may have been taken over. The child need not look into an output that it serialised itself.
"""

from __future__ import annotations

import re
from typing import Any

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import SKIP_CODES
from imagebatch_server.executors.protocol.messages import MAX_STORED_BYTES, Done
from imagebatch_server.images.preview import MAX_PREVIEW_BYTES
from imagebatch_server.limits import MAX_ERROR_MESSAGE_BYTES, MAX_OUTPUT_BYTES

MOST_TOKENS = 1_000_000_000
"""Of one item; a batch adds up to a million of them in 64 bits."""

MOST_RUN_S = 86_400.0
"""No item may take so long."""

MAX_CONTENT_TYPE_CHARACTERS = 255

_CONTENT_TYPE = re.compile(r"[!-~]+/[!-~]+(?: *;[ -~]*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FORMAT = re.compile(r"[a-z0-9]{1,16}")
_COUNTED = f"0 to {MOST_TOKENS:,} can be counted"
_QUOTED_CHARACTERS = 60


def fault_of_foreign(done: Done) -> str | None:
    """Say what is wrong with an answer of another process; None if nothing is."""
    fault = fault_of(done)
    if fault is not None:
        return fault
    output = done.outcome.output_data
    return None if output is None or structs.is_fit(output) else "an output that is no JSON object"


def fault_of(done: Done) -> str | None:
    """Say what is wrong with an answer whose output, if it has one, is a sound Struct; None if nothing is."""
    outcome = done.outcome
    fault = _fault_of_failure(done) if outcome.output_data is None else _fault_of_success(done)
    if fault is not None:
        return fault
    if outcome.duplicate_of_index is not None:
        return "a duplicate's index, which the server alone knows"
    if outcome.image_sha256 is not None and not _is_sha256(outcome.image_sha256):
        return f"no SHA-256 of the image ({_quoted(outcome.image_sha256)})"
    if outcome.image_format is not None and not _is_format(outcome.image_format):
        return f"no format of the image ({_quoted(outcome.image_format)})"
    # Most operations use none, and each item is looked at twice.
    if outcome.input_tokens and not _is_count(outcome.input_tokens):
        return f"{_quoted(outcome.input_tokens)} input_tokens; {_COUNTED}"
    if outcome.output_tokens and not _is_count(outcome.output_tokens):
        return f"{_quoted(outcome.output_tokens)} output_tokens; {_COUNTED}"
    if not 0 <= done.run_s <= MOST_RUN_S:
        return f"a time of {_quoted(done.run_s)} s"
    if done.preview is not None and len(done.preview) > MAX_PREVIEW_BYTES:
        return f"a preview of {len(done.preview):,} bytes"
    if done.retry_after_s is not None and not _is_within(done.retry_after_s, float("inf")):
        return f"a retry_after_s of {_quoted(done.retry_after_s)}"
    return None


def _fault_of_success(done: Done) -> str | None:
    outcome = done.outcome
    has_error = outcome.error_code is not None or outcome.error_message is not None
    if has_error or outcome.status is not BatchItemStatus.SUCCESS:
        return "an output and an error"
    output = outcome.output_data
    if not isinstance(output, bytes):
        return "an output that is no JSON object"
    if len(output) > MAX_OUTPUT_BYTES:
        return f"{len(output):,} bytes, the limit is {MAX_OUTPUT_BYTES:,}; it must say less, or store an image"
    return None if done.stored is None else _fault_of_image(done.stored)


def _fault_of_image(stored: Any) -> str | None:
    """Look at the fields of a `StoredImage`, of whatever type a plug-in gave them."""
    if not isinstance(stored.data, bytes):
        return f"an image that is {type(stored.data).__name__} and no bytes"
    if len(stored.data) > MAX_STORED_BYTES:
        return f"an image of {len(stored.data):,} bytes, the limit is {MAX_STORED_BYTES:,}; ask for a smaller one"
    content_type = stored.content_type
    if not isinstance(content_type, str) or not _CONTENT_TYPE.fullmatch(content_type):
        return f"the content type {_quoted(content_type)}, which is none; give one such as image/jpeg"
    if len(content_type) > MAX_CONTENT_TYPE_CHARACTERS:
        return f"a content type of {len(content_type)} characters, the limit is {MAX_CONTENT_TYPE_CHARACTERS}"
    return None if _is_sha256(stored.sha256) else f"no SHA-256 of its image ({_quoted(stored.sha256)})"


def _fault_of_failure(done: Done) -> str | None:
    outcome = done.outcome
    if outcome.status is not BatchItemStatus.FAILED or done.stored is not None:
        return "neither an output nor a failure"
    code = outcome.error_code
    if not isinstance(code, ItemErrorCode) or code in SKIP_CODES:
        return f"the error code {_quoted(str(code))}, which no attempt fails with"
    message = outcome.error_message
    if not isinstance(message, str) or "\0" in message:
        return "an error without a text that can be stored"
    if len(message.encode(errors="replace")) > MAX_ERROR_MESSAGE_BYTES:
        return f"an error message of more than {MAX_ERROR_MESSAGE_BYTES:,} bytes"
    return None


def _is_sha256(digest: object) -> bool:
    return isinstance(digest, str) and _SHA256.fullmatch(digest) is not None


def _is_format(name: object) -> bool:
    return isinstance(name, str) and _FORMAT.fullmatch(name) is not None


def _is_count(tokens: object) -> bool:
    return isinstance(tokens, int) and 0 <= tokens <= MOST_TOKENS


def _is_within(number: object, most: float) -> bool:
    return isinstance(number, int | float) and 0 <= number <= most and number != float("inf")


def _quoted(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}..."
