"""What can go wrong, in the words of the domain; `rpc.errors` alone knows what gRPC makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagebatch.v1.enums import BatchStatus, ItemErrorCode


class ItemError(Exception):
    """One item failed with a known code; the message says what to do about it.

    `transient` says whether another attempt may help; TIMEOUT and WORKER_CRASHED always are. `retry_after_s` is how
    long whoever refused wants to be left alone, if they said so.
    """

    def __init__(
        self, code: ItemErrorCode, message: str, *, transient: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.transient = transient or code in (ItemErrorCode.TIMEOUT, ItemErrorCode.WORKER_CRASHED)


class RequestError(Exception):
    """Base of everything that a request can be refused for."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request: the field's path, such as `items[3].image_url`, and what to do."""

    field: str
    description: str


class InvalidRequest(RequestError):
    """The request breaks rules; all violations found are here."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in violations))
        self.violations = tuple(violations)


class UnknownOperation(InvalidRequest):
    """No operation has this name."""

    def __init__(self, operation: str, known: Sequence[str]) -> None:
        text = f"no operation is called {operation!r}; this server has {', '.join(known)}"
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


class RequestIdReused(RequestError):
    """The request_id made another batch."""

    def __init__(self, request_id: str, batch_id: str) -> None:
        super().__init__(
            f"request_id {request_id} already made batch {batch_id} from other content; use a new request_id"
        )
        self.request_id = request_id
        self.batch_id = batch_id


class BatchNotTerminal(RequestError):
    """Only a terminal batch can be deleted."""

    def __init__(self, batch_id: str, status: BatchStatus) -> None:
        super().__init__(f"batch {batch_id} is {status.value}; cancel it and wait for its end before deleting it")
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
    """A limit of this server. `retry_after_s` is set if waiting can help.

    `limit` is the field's name in ServerLimits, `setting` the environment variable that sets it, None if it is fixed;
    `field` is the request's field that is too large, if one is.
    """

    def __init__(
        self,
        limit: str,
        message: str,
        *,
        value: int,
        setting: str | None = None,
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value
        self.setting = setting
        self.field = field
        self.retry_after_s = retry_after_s


class Draining(RequestError):
    """This server is stopping."""

    def __init__(self) -> None:
        super().__init__("the server is stopping; try again, another or a restarted server will answer")


class StoreUnavailable(RequestError):
    """The store can't be reached, is locked or is full."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the store is not available: {why}; try again")


class NotSupported(RequestError):
    """This server does not do this; the message names the alternative."""

    def __init__(self, feature: str, alternative: str) -> None:
        super().__init__(f"{feature} is not supported by this server; {alternative}")
        self.feature = feature
