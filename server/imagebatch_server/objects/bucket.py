"""A bucket, or a prefix of one, at S3, Google Cloud Storage or Azure, and what goes wrong there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store, from_url

from imagebatch_server.batches.errors import CannotStart, StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

log = structlog.get_logger(__name__)

_CLIENT: ClientConfig = {
    "allow_http": True,  # where the operator's endpoint is http://
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=15),
    "timeout": timedelta(seconds=60),  # of one request, its body included
    "user_agent": "imagebatch",
}
_RETRIES: RetryConfig = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
_LOG_EVERY_S = 1.0

Bucket = S3Store | GCSStore | AzureStore


class BucketUrlInvalid(CannotStart):
    """The URL names no bucket, or its SDK's settings are not enough to reach it."""


def open_bucket(url: str) -> Bucket:
    """Make the client of a bucket: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.

    Endpoint, region and credentials come from where each provider's SDK looks for them; nothing is asked yet. A request
    is tried again for 10 seconds. Raises BucketUrlInvalid.
    """
    try:
        store: ObjectStore = from_url(url, client_options=_CLIENT, retry_config=_RETRIES)
    except (BaseError, ValueError) as error:
        raise BucketUrlInvalid(f"{url} can't be used as an object store: {error}") from error
    if not isinstance(store, Bucket):
        raise BucketUrlInvalid(f"{url} is no bucket; use s3://, gs:// or az://")
    return store


class BucketErrors:
    """Turn a bucket's errors into StoreUnavailable, and tell the operator what they were."""

    def __init__(self, name: str) -> None:
        """`name` is what the operator calls the bucket."""
        self._name = name
        self._logged_at = float("-inf")

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Raise StoreUnavailable instead of an error of the block, but for FileNotFoundError and AlreadyExistsError."""
        try:
            yield
        except (FileNotFoundError, AlreadyExistsError):
            raise
        except (BaseError, OSError) as error:
            self._log(error)
            # Without the SDK's text, which names endpoints: the message goes to callers.
            refused = isinstance(error, PermissionDeniedError | UnauthenticatedError)
            why = "refuses this server's credentials" if refused else "does not answer"
            raise StoreUnavailable(f"the object store {why}", may_pass=not refused) from error

    def _log(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _LOG_EVERY_S:  # every item that waits for its image fails alike
            self._logged_at = now
            first_line, _, rest = str(error).partition("\n")
            why = " ".join([_QUERY.sub("?...", first_line), *_CODE.findall(rest)])
            log.warning("objects.store_failed", store=self._name, why=why)


_QUERY = re.compile(r"\?\S*")
"""In Azure a key may be in it."""

_CODE = re.compile(r"<Code>(\w+)</Code>")
"""What the provider calls its refusal, such as RequestTimeTooSkewed of a wrong clock."""
