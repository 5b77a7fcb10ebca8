"""The asynchronous client."""

from __future__ import annotations

from imagebatch_client.aio.batch import AsyncBatch
from imagebatch_client.aio.client import AsyncBatchClient

__all__ = ["AsyncBatch", "AsyncBatchClient"]
