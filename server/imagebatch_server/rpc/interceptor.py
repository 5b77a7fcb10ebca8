"""Stands before every method of the contract: checks requests by the contract's rules, turns errors into statuses."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message
from grpc import aio

from imagebatch_server.batches.errors import LimitExceeded, RequestError
from imagebatch_server.rpc import errors
from imagebatch_server.rpc.unbroken import UnbrokenWork
from imagebatch_server.rpc.validate import RequestValidator

log = structlog.get_logger(__name__)

Context = aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ContractInterceptor(aio.ServerInterceptor):
    """Hands servicers parsed requests that keep the contract's rules, and ends calls that raise a domain error.

    A servicer may answer a message or the bytes of one.
    """

    def __init__(self, validator: RequestValidator, *, max_request_bytes: int) -> None:
        self._validator = validator
        self._max_request_bytes = max_request_bytes
        self._unbroken = UnbrokenWork()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not self._validator.knows(method):
            return handler
        return self._guarded(handler, method)

    def _guarded(self, handler: Any, method: str) -> Handler:
        def read(data: bytes) -> Any:
            if len(data) > self._max_request_bytes:
                raise _too_large(len(data), self._max_request_bytes)
            return self._validator.read(method, data, handler.request_deserializer)

        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary_unary(handler.unary_unary, read, method), None, _serialise
            )
        if handler.unary_stream is not None:
            behavior = _unary_stream(handler.unary_stream, read, method)
            return grpc.unary_stream_rpc_method_handler(behavior, None, _serialise)
        return grpc.stream_unary_rpc_method_handler(
            self._stream_unary(handler.stream_unary, read, method), None, _serialise
        )

    def _unary_unary(self, answer: Any, read: Callable[[bytes], Any], method: str) -> Any:
        async def behavior(data: bytes, context: Context) -> Any:
            async with _Statuses(method, context):
                return await self._unbroken.finish(answer(read(data), context))

        return behavior

    def _stream_unary(self, answer: Any, read: Callable[[bytes], Any], method: str) -> Any:
        async def read_all(stream: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            async for data in stream:
                yield read(data)
            await _half_closed(context)

        async def behavior(stream: AsyncIterator[bytes], context: Context) -> Any:
            async with _Statuses(method, context):
                return await self._unbroken.finish(answer(read_all(stream, context), context))

        return behavior


def _unary_stream(answer: Any, read: Callable[[bytes], Any], method: str) -> Any:
    async def behavior(data: bytes, context: Context) -> AsyncIterator[Any]:
        async with _Statuses(method, context), aclosing(answer(read(data), context)) as responses:
            async for response in responses:
                yield response

    return behavior


def _too_large(size_bytes: int, most: int) -> LimitExceeded:
    return LimitExceeded(
        "max_request_bytes",
        f"the request has {size_bytes} bytes, more than {most}, the most that this server takes; upload images by "
        "UploadImage, stream items by SubmitBatchStream, or raise IMAGEBATCH_MAX_REQUEST_BYTES",
        value=size_bytes,
        setting="IMAGEBATCH_MAX_REQUEST_BYTES",
    )


async def _half_closed(context: Context) -> None:
    """Make sure that a stream came to its end; one that was cut raises CancelledError.

    gRPC ends the iteration alike in both cases. But nothing can be sent on a call that was cut.
    """
    try:
        await context.send_initial_metadata(())
    except aio.BaseError as error:
        raise asyncio.CancelledError from error


class _Statuses:
    """Ends the call with the right status if the block raises."""

    def __init__(self, method: str, context: Context) -> None:
        self._method = method
        self._context = context

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RequestError):
            await _end(self._context, errors.translate(error))
        # AbortError passes: the call was ended already. So do cancellations, which are no errors.
        if isinstance(error, Exception) and not isinstance(error, aio.AbortError):
            error_id = uuid.uuid4().hex
            log.error("call failed", method=self._method, error_id=error_id, exc_info=error)
            await _end(self._context, errors.internal(error_id))


async def _end(context: Context, error: errors.GrpcError) -> NoReturn:
    await context.abort(error.code, error.message, ((errors.DETAILS_KEY, error.details()),))
    raise AssertionError("abort returned")


def _serialise(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()
