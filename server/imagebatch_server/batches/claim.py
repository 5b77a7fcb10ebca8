"""Which batches are a server's to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagebatch_server.batches.model import Batch


@dataclass(frozen=True, slots=True)
class Claim:
    """A server's name as an owner of batches, unique to each of its starts, and the operations that it has."""

    owner: str
    operations: Sequence[str]

    def covers(self, batch: Batch) -> bool:
        """Whether the server owns the batch and can run it; one that was cancelled needs its operation no more."""
        has_operation = batch.options.operation in self.operations
        return batch.owner == self.owner and (has_operation or batch.cancel_requested_at is not None)
