"""What a plug-in needs to write an operation."""

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.operations.base import (
    AsyncOperation,
    ChunkOperation,
    ItemContext,
    MeteredOutput,
    Operation,
    Output,
    Parameters,
    Stored,
)
from imagebatch_server.operations.threads import in_thread

__all__ = [
    "AsyncOperation",
    "ChunkOperation",
    "ItemContext",
    "ItemError",
    "MeteredOutput",
    "Operation",
    "Output",
    "Parameters",
    "Stored",
    "in_thread",
]
