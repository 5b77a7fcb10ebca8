"""One attempt on its way through an executor."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import AttemptResult, Dispatch, Outcome, StoredObject
from imagebatch_server.executors.attempts.backlog import Backlog
from imagebatch_server.executors.attempts.strikes import STRIKES_TO_GO_ALONE
from imagebatch_server.executors.protocol.messages import Done


@dataclass(slots=True, eq=False)
class Attempt:
    """A dispatch, and what the executor knows of it."""

    dispatch: Dispatch
    operation: str
    """What runs it: the dispatch's operation, or one of its backends."""
    declared_type: str | None
    data: bytes = b""
    """What it holds in memory: its image, then what is to be stored of its result."""
    image_bytes: int = 0
    """Of its image, once that is here."""
    fetch_s: float = 0.0
    backlog: Backlog | None = None
    """Where it is counted, and for how much work (seconds)."""
    expected_s: float = 0.0
    chunk: int = 0
    """The chunk it was last sent in; numbers are a child's own."""
    strikes: int = 0
    """Children that died with this attempt next and none begun."""
    suspected: bool = False
    """A child died with this attempt and others begun, so that nobody knows which of them it was."""
    stored: StoredObject | None = None
    """The row of the image that its operation made, once that is durable in the service's own store."""
    preview: StoredObject | None = None
    """The row of its preview, likewise."""
    is_taken: bool = False
    """Whether a worker has it, or had it and made an image that is being stored."""
    forgotten: bool = False
    """Nobody wants its result any more; whoever comes across it lets it go."""

    @property
    def goes_alone(self) -> bool:
        """Whether a child is to have nothing else begun with it: if it dies again, this attempt pays."""
        return self.suspected or self.strikes >= STRIKES_TO_GO_ALONE

    @property
    def runs_for_s(self) -> float:
        """What is left of its time, now that its image is here."""
        return self.dispatch.timeout_s - self.fetch_s

    def result(self, done: Done) -> AttemptResult:
        """Complete the result that a child reported by what only the executor knows of it."""
        outcome = structs.replace(
            done.outcome,
            processing_time_ms=self._total_ms(done.run_s),
            attempts=self.dispatch.attempt,
            stored_object_key=None if self.stored is None else self.stored.object_key,
            preview_object_key=None if self.preview is None else self.preview.object_key,
            image_bytes=self.image_bytes,
        )
        objects = tuple(stored for stored in (self.stored, self.preview) if stored is not None)
        return AttemptResult(self.dispatch, outcome, objects, done.transient, done.busy, done.retry_after_s)

    def failure(self, error: ItemError, run_s: float = 0.0) -> AttemptResult:
        """Make the result of an attempt that no child could report on; `run_s` is what it had run for."""
        outcome = Outcome(
            item_index=self.dispatch.item.item_index,
            status=BatchItemStatus.FAILED,
            error_code=error.code,
            error_message=error.message,
            processing_time_ms=self._total_ms(run_s),
            attempts=self.dispatch.attempt,
            image_bytes=self.image_bytes,
        )
        return AttemptResult(
            self.dispatch, outcome, transient=error.transient, busy=error.busy, retry_after_s=error.retry_after_s
        )

    def _total_ms(self, run_s: float) -> int:
        return round((self.fetch_s + run_s) * 1000)
