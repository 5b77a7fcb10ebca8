"""What each rpc asks of its caller: one table."""

from __future__ import annotations

from collections.abc import Mapping

from imagebatch_server.access.principal import Principal, Role
from imagebatch_server.batches.errors import PermissionDenied

REFLECTION = "ServerReflectionInfo"
METRICS = "Metrics"

LEAST_ROLE: Mapping[str, Role] = {
    "SubmitBatch": Role.WRITER,
    "SubmitBatchStream": Role.WRITER,
    "GetBatchStatus": Role.READER,
    "GetBatchResults": Role.READER,
    "WatchBatch": Role.READER,
    "CancelBatch": Role.WRITER,
    "PauseBatch": Role.WRITER,
    "ResumeBatch": Role.WRITER,
    "UpdateBatch": Role.WRITER,
    "RetryBatch": Role.WRITER,
    "ListFailureClusters": Role.READER,
    "ListBatches": Role.READER,
    "DeleteBatch": Role.WRITER,
    "ListOperations": Role.READER,
    "GetServerInfo": Role.READER,
    "GetUsage": Role.READER,
    "DeleteTenant": Role.OPERATOR,
    "UploadImage": Role.WRITER,
    "DownloadImage": Role.READER,
    "CreateUploadUrl": Role.WRITER,
    METRICS: Role.OPERATOR,
    REFLECTION: Role.READER,
}
"""The least role that may call an rpc, by the rpc's name."""


def check(principal: Principal, rpc: str) -> None:
    """Let a principal call an rpc. Raises PermissionDenied."""
    least = LEAST_ROLE[rpc]
    if not principal.may(least):
        roles = ", ".join(sorted(principal.roles)) or "none"
        raise PermissionDenied(f"{rpc} needs the role {least}, and {principal.name} has {roles}; use another token")
