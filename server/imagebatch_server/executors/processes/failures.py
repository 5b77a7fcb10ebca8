"""What is made of a child's end and of its answers."""

from __future__ import annotations

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.errors import ItemError, short_text
from imagebatch_server.batches.model import Outcome
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.protocol.answers import fault_of_foreign
from imagebatch_server.executors.protocol.frames import BadFrame
from imagebatch_server.executors.protocol.messages import Done, LoadFailed


def too_long(attempt: Attempt) -> ItemError:
    """Say that it did not end in time."""
    return ItemError(
        ItemErrorCode.TIMEOUT,
        f"the attempt took longer than {attempt.dispatch.timeout_s:g} s; raise item_timeout or send a smaller image",
    )


def crash(how: str) -> ItemError:
    """Say that it took its child down; `how` is how that ended."""
    return ItemError(
        ItemErrorCode.WORKER_CRASHED,
        f"the worker {how} while it ran this item; send the image scaled down or saved again",
    )


def not_loaded(failed: LoadFailed) -> ItemError:
    """Its operation raised while it was loaded."""
    return ItemError(
        ItemErrorCode.INTERNAL,
        failed.explanation,
    )


def checked(done: Done, attempt: Attempt) -> Done:
    """Answer what a child answered, or a failure in its place if no child of ours gives such an answer.

    It goes to the store and to callers, and the process may have been taken over. Raises BadFrame for an answer about
    another item.
    """
    task = attempt.dispatch.item.item_index
    if done.outcome.item_index != task:
        raise BadFrame("it answered for an item that it was not asked about")
    fault = fault_of_foreign(done)
    if fault is None:
        return done
    text = f"the worker of operation {attempt.operation} answered with {fault}"
    failed = Outcome(task, BatchItemStatus.FAILED, ItemErrorCode.INTERNAL, short_text(text))
    return Done(failed, traceback=text, next_started=done.next_started)
