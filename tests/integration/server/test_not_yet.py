"""What the contract has and this server has not: said plainly, with the alternative."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tests.integration.server.calls import Raw, item, refused

from imagebatch.v1.batch_service_pb2 import (
    BatchOptions,
    DeleteBatchRequest,
    RetryBatchRequest,
    SubmitBatchStreamRequest,
)
from imagebatch.v1.image_service_pb2 import CreateUploadUrlRequest

BATCH_ID = "0195d2f0-0000-7000-8000-000000000001"


@pytest.mark.parametrize("rpc", ["SubmitBatchStream", "RetryBatch", "DeleteBatch", "CreateUploadUrl"])
def test_calls(raw: Raw, rpc: str) -> None:
    options = BatchOptions(operation="noop")
    calls = {
        "SubmitBatchStream": lambda: raw.batches.SubmitBatchStream(iter([SubmitBatchStreamRequest(options=options)])),
        "RetryBatch": lambda: raw.batches.RetryBatch(RetryBatchRequest(batch_id=BATCH_ID)),
        "DeleteBatch": lambda: raw.batches.DeleteBatch(DeleteBatchRequest(batch_id=BATCH_ID)),
        "CreateUploadUrl": lambda: raw.images.CreateUploadUrl(CreateUploadUrlRequest()),
    }
    refusal = refused(calls[rpc])
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SUPPORTED")
    assert refusal.metadata == {"feature": rpc}


@pytest.mark.parametrize("option", [{"skip_duplicates": True}, {"canary": 1}, {"failure_limit": 0.5}])
def test_options(raw: Raw, option: dict[str, Any]) -> None:
    refusal = refused(lambda: raw.submit([item(object_key="k")], **option))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SUPPORTED")
    assert refusal.metadata == {"feature": f"options.{next(iter(option))}"}
