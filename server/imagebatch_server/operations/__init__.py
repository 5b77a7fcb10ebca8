"""The plug-in point: all that a package may know of the server to bring operations; docs/plugins.md teaches it.

Operations are found by the entry-point group `imagebatch.operations`. Whatever is not exported here may change.
"""

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, UnsupportedPicture
from imagebatch_server.images.decode import Frame, Image
from imagebatch_server.images.exif import CaptureTime
from imagebatch_server.operations.base import (
    AsyncOperation,
    BaseOperation,
    ChunkOperation,
    ItemContext,
    MeteredOutput,
    Operation,
    Output,
    Parameters,
    PictureOutput,
    Stored,
    StrictParameters,
)
from imagebatch_server.operations.configuration import OperationSettings
from imagebatch_server.operations.servers import server_count
from imagebatch_server.operations.threads import in_thread
from imagebatch_server.retry_after import retry_after_s

__all__ = [
    "AsyncOperation",
    "BaseOperation",
    "CaptureTime",
    "ChunkOperation",
    "Frame",
    "Image",
    "ItemContext",
    "ItemError",
    "ItemErrorCode",
    "MeteredOutput",
    "Operation",
    "OperationSettings",
    "Output",
    "Parameters",
    "PictureOutput",
    "Stored",
    "StrictParameters",
    "UnsupportedPicture",
    "in_thread",
    "retry_after_s",
    "server_count",
]
