"""What can go wrong, in the words of the domain; `rpc.errors` alone knows what gRPC makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.limits import MAX_ERROR_MESSAGE_BYTES


def plain_text(text: str) -> str:
    """Clean a text so that every store and every message can hold it: no NUL, no half of a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def short_text(text: str) -> str:
    """As much of a message as an item may carry, as a plain text."""
    encoded = plain_text(text).encode()
    if len(encoded) <= MAX_ERROR_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[: MAX_ERROR_MESSAGE_BYTES - 3].decode(errors="ignore") + "..."


SKIP_CODES = frozenset({ItemErrorCode.DUPLICATE, ItemErrorCode.CANCELLED, ItemErrorCode.FAILURE_LIMIT})
"""Codes of skipped items; all others are those of failed ones."""


class ItemError(Exception):
    """One item failed with a known code; the message says what to do about it. It is kept plain, and cut to its limit.

    `transient` says whether another attempt may help; TIMEOUT and WORKER_CRASHED always are. `busy` says that whoever
    was asked has too much to do (HTTP's 429, or 503 with Retry-After): the item waits for them, and the attempt is not
    counted. `retry_after_s` is how long another attempt has to wait at the least.
    """

    def __init__(
        self,
        code: ItemErrorCode,
        message: str,
        *,
        transient: bool = False,
        busy: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = short_text(message)
        self.retry_after_s = retry_after_s
        self.busy = busy
        self.transient = transient or busy or code in (ItemErrorCode.TIMEOUT, ItemErrorCode.WORKER_CRASHED)


class UnsupportedPicture(ItemError):
    """It is a picture, in a format or with a feature that isn't read here: a fact about the server, not the file."""

    def __init__(self, message: str) -> None:
        super().__init__(ItemErrorCode.UNSUPPORTED_FORMAT, message)


class CannotStart(Exception):
    """What keeps a server from starting and its operator can mend; the message says how."""


class SettingsClash(CannotStart):
    """Settings that are right each by itself, and not together."""


class RequestError(Exception):
    """Base of everything that a request can be refused for."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that was exceeded: its name in ServerLimits, the most that it allows, and how much there was at least.

    `setting` is the environment variable that sets it, None if it is fixed.
    """

    name: str
    value: float
    observed: float
    setting: str | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request: the field's path, such as `items[3].image_url`, and what to do.

    `limit` is set if the field is more than the server takes, and nothing else is wrong with it.
    """

    field: str
    description: str
    limit: Limit | None = None


class InvalidRequest(RequestError):
    """The request breaks rules; all violations found are here."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in violations))
        self.violations = tuple(violations)


class UnknownOperation(InvalidRequest):
    """No operation has this name."""

    def __init__(self, operation: str, known: Sequence[str], remedy: str | None = None) -> None:
        text = f"no operation is called {operation!r}; this server has {', '.join(known) or 'none'}"
        text = text if remedy is None else f"{text}; {remedy}"
        super().__init__([Violation("options.operation", text)])
        self.operation = operation


class InvalidParameters(InvalidRequest):
    """The operation refuses its parameters."""

    def __init__(self, operation: str, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.operation = operation


class BatchNotFound(RequestError):
    """No batch has this id."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"batch {batch_id} does not exist; it was never submitted, was deleted or has expired")
        self.batch_id = batch_id


class ObjectNotFound(RequestError):
    """No object has this key."""

    def __init__(self, object_key: str) -> None:
        super().__init__(f"object {object_key} does not exist; it was never uploaded or has expired: upload it again")
        self.object_key = object_key


class ObjectExists(Exception):
    """A blob is never written twice: this key has one already."""

    def __init__(self, object_key: str) -> None:
        super().__init__(f"object {object_key} is written already; ask for another key")
        self.object_key = object_key


class RequestIdReused(RequestError):
    """The request_id belongs to a request that asked for something else; `use` is what became of that."""

    def __init__(self, request_id: str, batch_id: str, *, use: str) -> None:
        super().__init__(
            f"request_id {request_id} already {use} batch {batch_id} with other content; use a new request_id"
        )
        self.request_id = request_id
        self.batch_id = batch_id


class BatchNotTerminal(RequestError):
    """Only a terminal batch can be deleted."""

    def __init__(self, batch_id: str, status: BatchStatus) -> None:
        super().__init__(f"batch {batch_id} is {status.value}; cancel it and wait for its end before deleting it")
        self.batch_id = batch_id
        self.status = status


class BatchTerminal(RequestError):
    """Only a running batch can be paused, resumed or updated."""

    def __init__(self, batch_id: str, status: BatchStatus) -> None:
        super().__init__(
            f"batch {batch_id} is {status.value}; only a pending or processing one can be paused, resumed or updated"
        )
        self.batch_id = batch_id
        self.status = status


class BatchNotRetryable(RequestError):
    """A cancelled batch can't be retried."""

    def __init__(self, batch_id: str, status: BatchStatus) -> None:
        super().__init__(f"batch {batch_id} is {status.value} and can't be retried; submit its items again")
        self.batch_id = batch_id
        self.status = status


class SequenceOutOfRange(RequestError):
    """A watch asks to resume after an outcome that does not exist."""

    def __init__(self, batch_id: str, after_sequence: int, last_sequence: int) -> None:
        super().__init__(
            f"after_sequence: {after_sequence} is above {last_sequence}, the last sequence of batch {batch_id}"
        )
        self.batch_id = batch_id
        self.last_sequence = last_sequence


class LimitExceeded(RequestError):
    """A limit of this server, exceeded by the request as a whole or by what the server has to do already.

    `retry_after_s` is set if waiting can help.
    """

    def __init__(self, limit: Limit, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_s = retry_after_s


class TenantDeleted(RequestError):
    """The tenant is being removed, and nothing can be stored for it until that is done."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f"tenant {tenant} is being deleted; if it is to come back, try again when its images are gone")
        self.tenant = tenant


class Unauthenticated(RequestError):
    """The call doesn't show who makes it, or what it shows does not count here. No secret is in the message."""


class PermissionDenied(RequestError):
    """Whoever calls may not do this."""


class Draining(RequestError):
    """This server is stopping."""

    def __init__(self) -> None:
        super().__init__("the server is stopping; try again, another or a restarted server will answer")


class StoreUnavailable(RequestError):
    """The store can't be reached, is locked or is full. `may_pass`: whether waiting helps, as far as is known."""

    def __init__(self, why: str, *, may_pass: bool = False) -> None:
        super().__init__(f"the store is not available: {why}; try again")
        self.may_pass = may_pass


class NotSupported(RequestError):
    """This server does not do this; the message names the alternative."""

    def __init__(self, feature: str, alternative: str) -> None:
        super().__init__(f"{feature} is not supported by this server; {alternative}")
        self.feature = feature
