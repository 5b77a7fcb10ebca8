"""The exit codes of every verb, in one place with the text that `--help` shows of them."""

from __future__ import annotations

from typing import Final

from imagebatch_client.types import BatchStatus

OK: Final = 0
BATCH_FAILED: Final = 1
OUTPUT_FAILED: Final = 1
REFUSED: Final = 2
UNREACHABLE: Final = 3
CANCELLED: Final = 4
TIMED_OUT: Final = 5
INTERRUPTED: Final = 130

HELP: Final = (
    "Exit codes: 0 done (of a watched batch: completed); 1 the watched batch ended failed or partially completed, or "
    "the output could not be written; 2 wrong usage, or refused by the server; 3 the server can't be reached or "
    "failed; 4 the watched batch was cancelled; 5 the batch had not ended when --timeout was over; 130 interrupted by "
    "Ctrl-C (the batch goes on)."
)

_OF_STATUS = {
    BatchStatus.COMPLETED: OK,
    BatchStatus.FAILED: BATCH_FAILED,
    BatchStatus.PARTIALLY_COMPLETED: BATCH_FAILED,
    BatchStatus.CANCELLED: CANCELLED,
}


def of_batch(status: BatchStatus) -> int:
    """Choose the exit code for a batch that ended so."""
    return _OF_STATUS[status]
