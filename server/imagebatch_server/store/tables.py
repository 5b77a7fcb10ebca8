"""The tables. Rows never leave the store: queries turn them into the core's values.

There are no foreign keys: a deleted batch is hidden first and its rows are removed in chunks afterwards, and the
recorder's hot path should not look up what its own WHERE clause has already proved.

On SQLite these are ordinary rowid tables. WITHOUT ROWID was measured for items and outcomes: it takes 10 % less space
and as much less time to insert small rows, but at outputs of 2,000 bytes it records a fifth slower, reads pages 1.5
times slower and looks for pending items 8 times slower, because every index scan then drags the outputs along.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, Dialect, Index, LargeBinary, TypeDecorator, text
from sqlmodel import Field, SQLModel

from imagebatch.v1.enums import ItemErrorCode


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time on every database; SQLite by itself would answer naive ones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        # Instead of `process_result_value` upon SQLAlchemy's own parsing, which takes three times as long a row.
        return _from_text if dialect.name == "sqlite" else _from_aware


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value + "+00:00")


def _from_aware(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


RUNNING = text("visible AND status IN ('pending', 'processing')")
"""Of `batches`. Queries use an index's very words: a condition on parameters could not be proved to imply them."""

ENDED = text("visible AND status NOT IN ('pending', 'processing')")
STAGED = text("NOT visible AND status = 'pending'")
DISCARDED = text("NOT visible AND status <> 'pending'")

NUMBERED = text("sequence > 0")
"""Of `outcomes`: all of them."""

UNSUCCESSFUL = text("status <> 'success'")
"""Of `outcomes`: they are usually few, and looked for among many."""

UNTOLD = text("state = 'pending'")
"""Of `notifications`."""

FAILURE_CODES = (
    ItemErrorCode.FETCH_FAILED,
    ItemErrorCode.FETCH_FORBIDDEN,
    ItemErrorCode.OBJECT_NOT_FOUND,
    ItemErrorCode.TOO_LARGE,
    ItemErrorCode.UNSUPPORTED_FORMAT,
    ItemErrorCode.DECODE_FAILED,
    ItemErrorCode.TIMEOUT,
    ItemErrorCode.PROVIDER_ERROR,
    ItemErrorCode.WORKER_CRASHED,
    ItemErrorCode.INTERNAL,
)
"""Codes of failed items; each has a counter column of its name in `batches`."""

COUNTERS = (
    "successful_items",
    "failed_items",
    "skipped_items",
    *(code.value for code in FAILURE_CODES),
    "processing_time_ms",
    "timed_items",
    "input_tokens",
    "output_tokens",
)
"""Columns of `batches` that its outcomes add up to."""


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


class BatchRow(SQLModel, table=True):
    """A batch: what was asked, who owns it, its counters.

    No read answers a row that is not visible: a batch that is staged, its items still coming in (pending), or one that
    was deleted or given up (any other status), whose rows are being removed. There `total_items` counts what is left.
    """

    __tablename__ = "batches"
    __table_args__ = (
        Index("batches_request_id", "tenant", "request_id", unique=True),
        _partial_index("batches_running", "tenant", "batch_id", where=RUNNING.text),
        _partial_index("batches_completed", "completed_at", where=ENDED.text),
        _partial_index("batches_discarded", "tenant", "batch_id", where=DISCARDED.text),
    )

    tenant: str = Field(primary_key=True)
    batch_id: str = Field(primary_key=True)
    visible: bool
    request_id: str | None
    content_sha256: str
    operation: str
    parameters: bytes | None
    labels: dict[str, str] = Field(sa_type=JSON)
    priority: int
    item_timeout_s: float
    max_attempts: int
    skip_duplicates: bool
    canary: int | None
    failure_limit: float | None
    status: str
    total_items: int
    successful_items: int = 0
    failed_items: int = 0
    skipped_items: int = 0
    fetch_failed: int = 0
    fetch_forbidden: int = 0
    object_not_found: int = 0
    too_large: int = 0
    unsupported_format: int = 0
    decode_failed: int = 0
    timeout: int = 0
    provider_error: int = 0
    worker_crashed: int = 0
    internal: int = 0
    processing_time_ms: int = Field(default=0, sa_type=BigInteger)
    timed_items: int = 0
    input_tokens: int = Field(default=0, sa_type=BigInteger)
    output_tokens: int = Field(default=0, sa_type=BigInteger)
    last_sequence: int = Field(default=0, sa_type=BigInteger)
    judged_from_successful: int = 0
    judged_from_failed: int = 0
    owner: str
    owner_epoch: int
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    completed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    cancel_requested_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    outcomes_per_s: float | None = None
    rated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    output_prefix: str | None
    paused_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    traceparent: str | None = None
    waiting: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    rate_error: float | None = None
    notify_url: str | None = None


class BatchLabelRow(SQLModel, table=True):
    """An index of the batches' labels, written with the batch, and anew with new labels."""

    __tablename__ = "batch_labels"
    __table_args__ = (Index("batch_labels_by_value", "tenant", "key", "value", "batch_id"),)

    tenant: str = Field(primary_key=True)
    batch_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    value: str


class RetryRow(SQLModel, table=True):
    """The request_id of a retry that was answered, so that a repeat reopens nothing."""

    __tablename__ = "retries"

    tenant: str = Field(primary_key=True)
    batch_id: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    content_sha256: str
    requested_at: datetime = Field(sa_type=UtcDateTime)


class ItemRow(SQLModel, table=True):
    """An item as submitted; never changed. Indexes of a batch's items are dense, from 0."""

    __tablename__ = "items"
    __table_args__ = (
        _partial_index("items_item_id", "tenant", "batch_id", "item_id", where="item_id IS NOT NULL", unique=True),
        _partial_index("items_object_key", "object_key", where="object_key IS NOT NULL"),
        _partial_index(
            "items_content_key",
            "tenant",
            "batch_id",
            "content_key",
            where="content_key IS NOT NULL AND duplicate_of_index IS NULL",
            unique=True,
        ),
    )

    tenant: str = Field(primary_key=True)
    batch_id: str = Field(primary_key=True)
    item_index: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    item_id: str | None
    image_url: str | None
    object_key: str | None
    size_bytes: int | None = Field(sa_type=BigInteger)
    sha256: str | None
    declared_type: str | None
    # A declarative class has an attribute `metadata` of its own.
    item_metadata: bytes | None = Field(sa_column=Column("metadata", LargeBinary))
    content_key: bytes | None
    duplicate_of_index: int | None


class OutcomeRow(SQLModel, table=True):
    """An item's outcome; the primary key is the backstop against a second one."""

    __tablename__ = "outcomes"
    __table_args__ = (
        # Every outcome has a sequence above 0. The condition keeps PostgreSQL from taking this index for queries by
        # item_index, each of which would read the whole batch: without statistics both look as good to it.
        _partial_index("outcomes_sequence", "tenant", "batch_id", "sequence", where=NUMBERED.text, unique=True),
        _partial_index("outcomes_unsuccessful", "tenant", "batch_id", "item_index", "status", where=UNSUCCESSFUL.text),
        _partial_index("outcomes_stored_object_key", "stored_object_key", where="stored_object_key IS NOT NULL"),
        _partial_index(
            "outcomes_cluster_id", "tenant", "batch_id", "cluster_id", "item_index", where="cluster_id IS NOT NULL"
        ),
        _partial_index("outcomes_preview_object_key", "preview_object_key", where="preview_object_key IS NOT NULL"),
    )

    tenant: str = Field(primary_key=True)
    batch_id: str = Field(primary_key=True)
    item_index: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    sequence: int = Field(sa_type=BigInteger)
    status: str
    error_code: str | None
    error_message: str | None
    output_data: bytes | None
    processing_time_ms: int | None = Field(sa_type=BigInteger)
    attempts: int
    image_sha256: str | None
    stored_object_key: str | None
    duplicate_of_index: int | None
    input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    completed_at: datetime = Field(sa_type=UtcDateTime)
    cluster_id: str | None = None
    preview_object_key: str | None = None


class FailureClusterRow(SQLModel, table=True):
    """What failed items of a batch have in common; written with their outcomes, and when a retry takes some out."""

    __tablename__ = "failure_clusters"

    tenant: str = Field(primary_key=True)
    batch_id: str = Field(primary_key=True)
    cluster_id: str = Field(primary_key=True)
    error_code: str
    host: str
    format: str
    message: str
    count: int
    first_at: datetime = Field(sa_type=UtcDateTime)
    last_at: datetime = Field(sa_type=UtcDateTime)


class NotificationRow(SQLModel, table=True):
    """What a receiver is to be told, or was told, of one end of a batch; the transaction that ended it wrote it."""

    __tablename__ = "notifications"
    __table_args__ = (_partial_index("notifications_due", "next_at", where=UNTOLD.text),)

    tenant: str = Field(primary_key=True)
    batch_id: str = Field(primary_key=True)
    last_sequence: int = Field(primary_key=True, sa_type=BigInteger)
    notify_url: str
    host: str
    body: bytes
    state: str
    attempts: int
    last_http_status: int | None
    next_at: datetime | None = Field(sa_type=UtcDateTime)


class ObjectRow(SQLModel, table=True):
    """A stored blob. Its key is unique by itself, and the tenant tells whose it is.

    One with `awaited_until` has no blob yet: until then it may be uploaded to a signed URL. Its `sha256` is empty.
    """

    __tablename__ = "objects"

    object_key: str = Field(primary_key=True)
    tenant: str = Field(primary_key=True)
    sha256: str
    size_bytes: int = Field(sa_type=BigInteger)
    content_type: str
    file_name: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    awaited_until: datetime | None = Field(default=None, sa_type=UtcDateTime)

    __table_args__ = (Index("objects_by_content", "tenant", "sha256"),)


class UsageRow(SQLModel, table=True):
    """What a tenant used of one operation in one day (UTC); the recorder adds to it, and no deletion takes from it."""

    __tablename__ = "usage"

    tenant: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    operation: str = Field(primary_key=True)
    items: int = Field(sa_type=BigInteger)
    processing_time_ms: int = Field(sa_type=BigInteger)
    image_bytes: int = Field(sa_type=BigInteger)
    input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)


class TenantRow(SQLModel, table=True):
    """What there is one of for each tenant: its row is made when something is first stored for it.

    Whoever adds to what a quota bounds locks it first, so that no two can take the same room. A tenant with
    `deleted_at` is being removed: nothing is stored for it, and no read answers anything of it.
    """

    __tablename__ = "tenants"

    tenant: str = Field(primary_key=True)
    stored_bytes: int = Field(sa_type=BigInteger)
    deleted_at: datetime | None = Field(sa_type=UtcDateTime)


class RemovedObjectRow(SQLModel, table=True):
    """An object whose row was removed, until its blob is gone too."""

    __tablename__ = "removed_objects"

    object_key: str = Field(primary_key=True)


class ObjectStoreRow(SQLModel, table=True):
    """The one object store that the rows of `objects` speak of, by its id."""

    __tablename__ = "object_store"

    id: str = Field(primary_key=True)


class SigningKeyRow(SQLModel, table=True):
    """A key that URLs are signed with; the numbers count up."""

    __tablename__ = "signing_keys"

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    secret: bytes
    created_at: datetime = Field(sa_type=UtcDateTime)


class ServerRow(SQLModel, table=True):
    """A server on PostgreSQL, which writes its row again and again; times are by the database's clock.

    It lives while `lease_until` is to come and its session holds the lock of `lock_number`. A batch whose `owner` is
    the name of no living server may be taken over.
    """

    __tablename__ = "servers"

    server_id: str = Field(primary_key=True)
    version: str
    lock_number: int
    operations: list[str] = Field(sa_type=JSON)
    workers: int
    waiting_items: int
    draining: bool
    started_at: datetime = Field(sa_type=UtcDateTime)
    renewed_at: datetime = Field(sa_type=UtcDateTime)
    lease_until: datetime = Field(sa_type=UtcDateTime)
    calls: dict[str, tuple[float, int]] | None = Field(default=None, sa_type=JSON)
    """By tenant, how often it asks for a call there, and how many were let in."""


class SchemaBearsRow(SQLModel, table=True):
    """The one revision from which on servers may run on this schema, although it may be newer than they know."""

    __tablename__ = "schema_bears"

    oldest_revision: str = Field(primary_key=True)


def _table(row: type[SQLModel]) -> Any:
    return row.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it


batches = _table(BatchRow)
batch_labels = _table(BatchLabelRow)
retries = _table(RetryRow)
items = _table(ItemRow)
outcomes = _table(OutcomeRow)
failure_clusters = _table(FailureClusterRow)
notifications = _table(NotificationRow)
objects = _table(ObjectRow)
removed_objects = _table(RemovedObjectRow)
usage = _table(UsageRow)
tenants = _table(TenantRow)
object_store = _table(ObjectStoreRow)
signing_keys = _table(SigningKeyRow)
servers = _table(ServerRow)
schema_bears = _table(SchemaBearsRow)
