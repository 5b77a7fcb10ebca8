"""The synchronous client."""

from __future__ import annotations

from imagebatch_client.sync.batch import Batch
from imagebatch_client.sync.client import BatchClient
from imagebatch_client.sync.watch import Watch

__all__ = ["Batch", "BatchClient", "Watch"]
