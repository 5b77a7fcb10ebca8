"""What one tenant has, ids that nobody has, and answers in which neither can be told from the other."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, fields

import grpc
from tests.integration.access.secured import Secured
from tests.integration.server import pictures
from tests.integration.server.calls import TIMEOUT_S, Raw, eventually, item

from imagebatch.v1 import batch_service_pb2 as batches
from imagebatch_server.access.principal import Role
from imagebatch_server.rpc.parse import page_token

IMAGE = pictures.drawn(7)
LISTED = batches.ListBatchesRequest(page_size=1)


@dataclass(frozen=True)
class Ids:
    """One id of each kind."""

    batch_id: str
    object_key: str
    item_id: str
    request_id: str
    retry_request_id: str
    cluster_id: str
    page_token: str
    sha256: str
    tenant: str

    def hidden_in(self, text: str) -> str:
        """Put a kind's name in the place of each id."""
        for field in fields(self):
            text = text.replace(getattr(self, field.name), f"<{field.name}>")
        return text


def unknown(seed: str) -> Ids:
    """Make ids of the right form that nobody has."""
    batch_id = str(uuid.uuid7()) if hasattr(uuid, "uuid7") else f"0199{uuid.uuid4().hex[:4]}-{str(uuid.uuid4())[9:]}"
    batch_id = f"{batch_id[:14]}7{batch_id[15:]}"
    return Ids(
        batch_id=batch_id,
        object_key=f"acme.{uuid.uuid4().hex}",
        item_id=f"item-{seed}",
        request_id=f"request-{seed}",
        retry_request_id=f"retry-{seed}",
        cluster_id=hashlib.sha256(f"cluster-{seed}".encode()).hexdigest()[:16],
        page_token=page_token(LISTED, batch_id),
        sha256=hashlib.sha256(seed.encode()).hexdigest(),
        tenant=f"nobody-{seed}",
    )


def one_of_each(secured: Secured) -> Ids:
    """Let the tenant acme have one of everything."""
    raw = client_of(secured, "theirs", "acme", Role.WRITER)
    key = raw.upload(IMAGE, content_type="image/png").object_key
    known = [item(object_key=key, item_id="item-7"), item(image_base64="data:image/png;base64,AAAA", item_id="broken")]
    batch_id = raw.submit(known, request_id="request-7", labels={"run": "theirs"}).batch_id
    raw.watch_to_end(batch_id)
    retry = batches.RetryBatchRequest(batch_id=batch_id, request_id="retry-7")
    raw.batches.RetryBatch(retry, timeout=TIMEOUT_S)
    raw.watch_to_end(batch_id)
    clusters = raw.batches.ListFailureClusters(
        batches.ListFailureClustersRequest(batch_id=batch_id), timeout=TIMEOUT_S
    ).clusters
    return Ids(
        batch_id=batch_id,
        object_key=key,
        item_id="item-7",
        request_id="request-7",
        retry_request_id="retry-7",
        cluster_id=clusters[0].cluster_id,
        page_token=page_token(LISTED, batch_id),
        sha256=hashlib.sha256(IMAGE).hexdigest(),
        tenant="acme",
    )


def client_of(secured: Secured, name: str, tenant: str, role: Role) -> Raw:
    raw = secured.client(secured.grant(name, tenant, role))

    def counts() -> bool:
        try:
            raw.batches.GetServerInfo(batches.GetServerInfoRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError:
            return False
        return True

    eventually(counts)
    return raw
