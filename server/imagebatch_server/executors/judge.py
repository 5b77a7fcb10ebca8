"""What is made of a child's end and of its answers."""

from __future__ import annotations

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.attempt import Attempt
from imagebatch_server.executors.messages import MAX_MESSAGE_BYTES, MAX_OUTPUT_BYTES, BadFrame, Done, LoadFailed

_MOST_TOKENS = 1_000_000_000
"""Of one item; a batch adds up to a million of them in 64 bits."""


def too_long(attempt: Attempt) -> ItemError:
    """It did not end in time."""
    return ItemError(
        ItemErrorCode.TIMEOUT,
        f"the attempt took longer than {attempt.dispatch.timeout_s:g} s; raise item_timeout or send a smaller image",
    )


def crash(how: str) -> ItemError:
    """It took its child down; `how` is how that ended."""
    return ItemError(
        ItemErrorCode.WORKER_CRASHED,
        f"the worker {how} while it ran this item; send the image scaled down or saved again",
    )


def not_loaded(failed: LoadFailed) -> ItemError:
    """Its operation raised while it was loaded."""
    return ItemError(
        ItemErrorCode.INTERNAL,
        f"operation {failed.operation} can't be loaded: {failed.reason}; the server's log says where",
    )


def check(done: Done) -> None:
    """Raise BadFrame for what no child of ours says: the bytes go to clients, and the process may be taken over."""
    output = done.output
    if output is None:
        right = done.error_code is not None and done.error_message is not None and done.stored is None
    else:
        right = done.error_code is None and len(output) <= MAX_OUTPUT_BYTES and structs.is_struct(output)
    texts = len(done.image_sha256) in (0, 64) and len(done.error_message or "") <= MAX_MESSAGE_BYTES
    times = 0 <= done.run_s < float("inf") and 0 <= (done.retry_after_s or 0.0) < float("inf")
    tokens = 0 <= done.input_tokens <= _MOST_TOKENS and 0 <= done.output_tokens <= _MOST_TOKENS
    if not (right and texts and times and tokens):
        raise BadFrame("an answer that breaks the rules")
