"""What stores images that callers bring: in calls, to URLs of the HTTP port, or to the bucket itself."""

from __future__ import annotations

from dataclasses import dataclass

from imagebatch_server.app.objects import open_arrivals
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.arrived_uploads import ArrivedUploads, ArrivingBlobs
from imagebatch_server.batches.awaited_uploads import AwaitedUploads
from imagebatch_server.batches.ports.objects import BlobReader, BlobStore, ObjectRows, TakeIn
from imagebatch_server.batches.quotas import QuotasOf
from imagebatch_server.batches.service_clock import ServiceClock
from imagebatch_server.batches.uploads import Uploads
from imagebatch_server.http.signing import UrlSigner
from imagebatch_server.images.header import header


@dataclass(frozen=True)
class Incoming:
    """The ways in. Without the HTTP port, and without a store that can sign, there are no URLs."""

    uploads: Uploads
    awaited: AwaitedUploads | None
    take_in: TakeIn | None
    reader: BlobReader
    """Reads blobs, those too that are still to be taken in."""


def incoming(
    settings: Settings,
    blobs: BlobStore,
    rows: ObjectRows,
    quotas: QuotasOf,
    signer: UrlSigner | None,
    clock: ServiceClock,
) -> Incoming:
    """Make what the settings ask for. URLs lead to the HTTP port where there is one. Raises CannotStart."""
    most, arrivals = settings.max_image_bytes, open_arrivals(settings)
    urls = signer or arrivals
    awaited = None if urls is None else AwaitedUploads(blobs, rows, urls, max_image_bytes=most, now=clock.now)
    take_in = None if awaited is None or arrivals is None else ArrivedUploads(blobs, rows, awaited, arrivals).take_in
    return Incoming(
        Uploads(blobs, rows, quotas, header, max_image_bytes=most, take_in=take_in, now=clock.now),
        awaited,
        take_in,
        blobs if take_in is None else ArrivingBlobs(blobs, take_in),
    )
