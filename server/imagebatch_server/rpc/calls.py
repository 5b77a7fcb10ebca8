"""What stands before every rpc of the contract, whatever a call comes by: rules, bounds, and errors as statuses.

gRPC's interceptor and the HTTP port both come through here; neither checks anything by itself.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, aclosing
from typing import Any, TypeAlias, TypeVar

import structlog
from google.protobuf.message import Message

from imagebatch_server.access.audit_log import AuditLog
from imagebatch_server.access.permissions import LEAST_ROLE
from imagebatch_server.access.principal import Role
from imagebatch_server.batches.errors import Limit, LimitExceeded, RequestError
from imagebatch_server.rpc import errors
from imagebatch_server.rpc.audit import AuditedCall
from imagebatch_server.rpc.call import Call, IncomingCall
from imagebatch_server.rpc.call_limits import CallLimits
from imagebatch_server.rpc.endable import Endable
from imagebatch_server.rpc.errors import GrpcError
from imagebatch_server.rpc.gate import Gate
from imagebatch_server.rpc.methods import Method
from imagebatch_server.rpc.observer import Observed, Observer
from imagebatch_server.rpc.open_streams import OpenStreams
from imagebatch_server.rpc.principal_limits import CALLS, STREAMS
from imagebatch_server.rpc.shielded_calls import ShieldedCalls
from imagebatch_server.rpc.validate import RequestValidator

log = structlog.get_logger(__name__)

T = TypeVar("T")
Receive: TypeAlias = Callable[[], Awaitable[bytes]]
"""Waits for the one request of a call, and raises CancelledError if the call was cut before it was here."""
Write: TypeAlias = Callable[[bytes], Awaitable[None]]

_WATCH = "/imagebatch.v1.BatchService/WatchBatch"


class Calls:
    """Hand servicers parsed requests that keep the contract's rules, and answer bytes or the error of the call.

    Errors are answered and not raised: a transport may keep an exception for long, and with it the request.
    """

    def __init__(
        self,
        methods: Iterable[Method],
        validator: RequestValidator,
        gate: Gate,
        limits: CallLimits,
        audit: AuditLog | None,
        observer: Observer,
        *,
        max_request_bytes: int,
    ) -> None:
        self._methods = {method.path: method for method in methods}
        self._validator = validator
        self._gate = gate
        self._limits = limits
        self.audit = audit
        self._observer = observer
        self._shielded = ShieldedCalls()
        self.streams = OpenStreams(gate)
        self.max_request_bytes = max_request_bytes

    def find(self, path: str) -> Method | None:
        """Find an rpc of the contract by its path, `/package.Service/Method`."""
        return self._methods.get(path)

    def drain(self) -> None:
        """End uploads, downloads and streamed submits with UNAVAILABLE, and take no more of them."""
        self._limits.transfers.drain()

    async def end(self, grace_s: float) -> None:
        """Wait for work whose callers may be gone, and cancel what has not ended after `grace_s`."""
        await self._shielded.end(grace_s)

    async def unary(self, method: Method, receive: Receive, incoming: IncomingCall) -> bytes | GrpcError:
        """Answer one request; the work goes on to its end even if this is cancelled."""

        async def work(call: Call, audited: AuditedCall) -> bytes:
            with self._limits.principals.take(CALLS, call):
                self._limits.calls.ensure_room()  # a crowd is refused before its requests are read
                working = self._unary(method, await self._limits.receiving.receive(receive), call, audited)
                return await self._shielded.run(working)

        return await self._let_in(method.name, incoming, work, is_stream=False)

    async def from_stream(
        self, method: Method, stream: AsyncIterator[bytes], incoming: IncomingCall
    ) -> bytes | GrpcError:
        """Answer a stream of requests, whose iterator raises CancelledError if it was cut."""

        async def work(call: Call, audited: AuditedCall) -> bytes:
            with self._limits.principals.take(STREAMS, call):
                return await self._shielded.run(self._from_stream(method, stream, call, audited))

        return await self._let_in(method.name, incoming, work, is_stream=True)

    async def to_stream(
        self, method: Method, receive: Receive, incoming: IncomingCall, write: Write
    ) -> GrpcError | None:
        """Write responses to one request, each when the one before was taken; None if all went well."""
        respond = self._watch if method.path == _WATCH else self._download

        async def work(call: Call, _: AuditedCall) -> None:
            with self._limits.principals.take(STREAMS, call):
                await respond(method, await self._limits.receiving.receive(receive), call, write)

        return await self._let_in(method.name, incoming, work, is_stream=True)

    async def beside(self, rpc: str, incoming: IncomingCall, work: Callable[[], Awaitable[None]]) -> GrpcError | None:
        """Do the work of a stream that is no rpc of the contract and asks for a role all the same."""

        async def within(call: Call, _: AuditedCall) -> None:
            stream = Endable()
            with self._limits.principals.take(STREAMS, call), self.streams.following(stream, call):
                async with stream.until_ended():
                    await work()

        return await self._let_in(rpc, incoming, within, is_stream=True)

    async def _unary(self, method: Method, data: bytes, call: Call, audited: AuditedCall) -> bytes:
        with audited.telling(), self._limits.calls.take(), self._hold(data):
            request = self._read(method, data)
            audited.about(request)
            response = await method.answer(request, call)
            audited.about(response)
            return _serialise(response)

    async def _from_stream(
        self, method: Method, stream: AsyncIterator[bytes], call: Call, audited: AuditedCall
    ) -> bytes:
        self._limits.memory.ensure_room(streams=self._limits.transfers.under_way + 1)
        with audited.telling(), self._limits.transfers.begin() as transfer, self.streams.following(transfer, call):
            response = await method.answer(self._read_all(method, transfer.receive(stream)), call)
            audited.about(response)
            return _serialise(response)

    async def _read_all(self, method: Method, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for data in messages:
            with self._hold(data):
                yield self._read(method, data)

    async def _watch(self, method: Method, data: bytes, call: Call, write: Write) -> None:
        watch = Endable()
        with self._limits.watches.take(), self.streams.following(watch, call):
            async with watch.until_ended(), aclosing(method.answer(self._read(method, data), call)) as responses:
                async for response in responses:
                    await write(_serialise(response))

    async def _download(self, method: Method, data: bytes, call: Call, write: Write) -> None:
        with self._limits.transfers.begin() as transfer, self.streams.following(transfer, call):
            async with aclosing(method.answer(self._read(method, data), call)) as responses:
                async for response in responses:
                    await transfer.send(write(_serialise(response)))

    def _read(self, method: Method, data: bytes) -> Any:
        return self._validator.read(method.path, data, method.request.FromString)

    def _hold(self, data: bytes) -> AbstractContextManager[None]:
        """Hold memory for a request while the block runs. Raises LimitExceeded."""
        if len(data) > self.max_request_bytes:
            raise too_large(len(data), self.max_request_bytes)
        return self._limits.memory.hold(len(data))

    async def _let_in(
        self,
        rpc: str,
        incoming: IncomingCall,
        work: Callable[[Call, AuditedCall], Awaitable[T]],
        *,
        is_stream: bool,
    ) -> T | GrpcError:
        """Do the work of a call if whoever makes it may, and answer what it came to."""
        with self._observer.observing(rpc, incoming, is_stream=is_stream) as observed:
            answer = await self._audited(rpc, incoming, work, observed)
            if isinstance(answer, GrpcError):
                observed.error = answer
        return answer

    async def _audited(
        self, rpc: str, incoming: IncomingCall, work: Callable[[Call, AuditedCall], Awaitable[T]], observed: Observed
    ) -> T | GrpcError:
        changes = LEAST_ROLE[rpc] is not Role.READER
        audited = AuditedCall(self.audit if changes else None, rpc, incoming.peer)
        with self._limits.connections.call(incoming.peer):
            try:
                self._limits.connections.ensure_room()
                audited.principal = observed.principal = await self._gate.admit(rpc, incoming)
                self._limits.rates.take(audited.principal)
                audited.begin()
                return await work(Call(rpc, incoming, audited.principal, observed.traceparent), audited)
            except Exception as error:
                answer = self._error(rpc, error)
        audited.refused(answer)
        return answer

    def _error(self, rpc: str, error: Exception) -> GrpcError:
        if isinstance(error, MemoryError):
            log.warning("call.out_of_memory", rpc=rpc)
            return errors.translate(self._limits.memory.refusal())
        if isinstance(error, RequestError):
            answer = errors.translate(error)
        else:
            error_id = uuid.uuid4().hex
            log.error("call.failed", rpc=rpc, error_id=error_id, exc_info=error)
            answer = errors.internal(error_id)
        _forget_frames(error)
        return answer


def too_large(size_bytes: int, most: int) -> LimitExceeded:
    """Make the error of a request that is larger than the server takes."""
    return LimitExceeded(
        Limit("max_request_bytes", most, size_bytes, "IMAGEBATCH_MAX_REQUEST_BYTES"),
        f"the request has {size_bytes} bytes, more than {most}, the most that this server takes; upload images by "
        "UploadImage, stream items by SubmitBatchStream, or raise IMAGEBATCH_MAX_REQUEST_BYTES",
    )


def _forget_frames(error: BaseException | None) -> None:
    """Empty the frames that an error went through: they hold the request, and a log may hold the error for long."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _serialise(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()
