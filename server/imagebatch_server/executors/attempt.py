"""One attempt on its way through an executor."""

from __future__ import annotations

from dataclasses import dataclass

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import AttemptResult, Dispatch, StoredObject
from imagebatch_server.executors.load import Load
from imagebatch_server.executors.messages import Done

_STRIKES_TO_GO_ALONE = 2


@dataclass(slots=True, eq=False)
class Attempt:
    """A dispatch, and what the executor knows of it."""

    dispatch: Dispatch
    operation: str
    """What runs it: the dispatch's operation, or one of its backends."""
    declared_type: str | None
    data: bytes = b""
    """What it holds in memory: its image, then what is to be stored of its result."""
    fetch_s: float = 0.0
    load: Load | None = None
    """Where it is counted, and for how much work (seconds)."""
    expected_s: float = 0.0
    chunk: int = 0
    """The chunk it was last sent in; numbers are a child's own."""
    strikes: int = 0
    """Children that died with this attempt next and none begun."""
    suspected: bool = False
    """A child died with this attempt and others begun, so that nobody knows which of them it was."""
    forgotten: bool = False
    """Nobody wants its result any more; whoever comes across it lets it go."""

    @property
    def goes_alone(self) -> bool:
        """Whether a child is to have nothing else begun with it: if it dies again, this attempt pays."""
        return self.suspected or self.strikes >= _STRIKES_TO_GO_ALONE

    @property
    def runs_for_s(self) -> float:
        """What is left of its time, now that its image is here."""
        return self.dispatch.timeout_s - self.fetch_s

    def result(self, done: Done, stored_object: StoredObject | None = None) -> AttemptResult:
        """The result that a child reported."""
        return AttemptResult(
            dispatch=self.dispatch,
            processing_time_ms=self._total_ms(done.run_s),
            image_sha256=done.image_sha256 or None,
            output_data=done.output,
            stored_object=stored_object,
            error_code=done.error_code,
            error_message=done.error_message,
            transient=done.transient,
            retry_after_s=done.retry_after_s,
            input_tokens=done.input_tokens,
            output_tokens=done.output_tokens,
        )

    def failure(self, error: ItemError, run_s: float = 0.0) -> AttemptResult:
        """The result of an attempt that no child could report on; `run_s` is what it had run for."""
        return AttemptResult(
            dispatch=self.dispatch,
            processing_time_ms=self._total_ms(run_s),
            error_code=error.code,
            error_message=error.message,
            transient=error.transient,
        )

    def _total_ms(self, run_s: float) -> int:
        return round((self.fetch_s + run_s) * 1000)
