"""What the audit log is told of a call: who, what, upon which batch or image, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from google.protobuf.message import Message
from grpc import StatusCode

from imagebatch_server.access.audit_log import AuditLog
from imagebatch_server.access.principal import Principal
from imagebatch_server.batches.errors import RequestError
from imagebatch_server.rpc.errors import GrpcError, clip, translate

_SUBJECTS = ("batch_id", "object_key", "tenant")
"""Fields of requests and responses that name what a call is about."""
_MOST_BYTES = 128
"""Of what callers made up; ids are shorter."""


class AuditedCall:
    """One call, told of once: when what it asks for was done, or refused. Nothing of its images or secrets is.

    `log` is None where nothing is told, as of calls that only read.
    """

    def __init__(self, log: AuditLog | None, rpc: str, peer: str) -> None:
        self._log = log
        self._rpc = rpc
        self._peer = peer
        self._subjects: dict[str, str] = {}
        self._has_begun = False
        self.principal: Principal | None = None
        """Who was let in; None: nobody was."""

    def begin(self) -> None:
        """Let the call change something: from here on its line is kept. Raises StoreUnavailable if there is no room."""
        if self._log is not None:
            self._log.ensure_room()
        self._has_begun = True

    def about(self, message: Message) -> None:
        """Note which batch, object or tenant a request or a response names."""
        if self._log is None:
            return
        for name in _SUBJECTS:
            if name in message.DESCRIPTOR.fields_by_name and (value := getattr(message, name)):
                self.note(name, str(value))

    def note(self, name: str, value: str) -> None:
        """Note what a call is about: one of a batch_id, an object_key, a tenant."""
        self._subjects[name] = clip(value, _MOST_BYTES)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell how the block ended, whether or not the caller is still there to hear it."""
        try:
            yield
        except RequestError as error:
            self.refused(translate(error))
            raise
        except asyncio.CancelledError:
            self.ended(StatusCode.CANCELLED)
            raise
        except Exception:
            self.ended(StatusCode.INTERNAL)
            raise
        self.ended(StatusCode.OK)

    def refused(self, error: GrpcError) -> None:
        """Tell what the call was refused with, unless its end was told."""
        self.ended(error.code, error.reason)

    def ended(self, code: StatusCode, reason: str | None = None) -> None:
        """Tell how the call ended, unless that was told."""
        if self._log is None:
            return
        who = self.principal
        self._log.write(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "principal": None if who is None else who.name,
                "tenant": None if who is None else who.tenant,
                "peer": self._peer,
                "rpc": self._rpc,
                "code": code.name,
                "reason": reason,
                **{f"of_{name}": value for name, value in self._subjects.items()},
            },
            must_be_kept=self._has_begun,
        )
        self._log = None
