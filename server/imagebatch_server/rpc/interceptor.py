"""The contract over gRPC: hands calls to `rpc.calls`, and ends them as it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from grpc import aio

from imagebatch_server.access.certificate import from_pem
from imagebatch_server.access.permissions import REFLECTION
from imagebatch_server.rpc import errors
from imagebatch_server.rpc.call import IncomingCall, joined
from imagebatch_server.rpc.calls import Calls
from imagebatch_server.rpc.methods import Method

Context = aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
A = TypeVar("A")


class ContractInterceptor(aio.ServerInterceptor):
    """Answer the contract's rpcs; what else is called goes on to gRPC's own services."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        method = self._calls.find(handler_call_details.method)
        if method is None:
            return await self._beside(await continuation(handler_call_details), handler_call_details.method)
        # All of them take streams, so that one request, too, is received once its caller was let in.
        if method.answers_stream:
            return grpc.stream_stream_rpc_method_handler(self._to_stream(method))
        answer = self._from_stream(method) if method.takes_stream else self._unary(method)
        return grpc.stream_unary_rpc_method_handler(answer)

    def _unary(self, method: Method) -> Any:
        async def behavior(stream: AsyncIterator[bytes], context: Context) -> bytes:
            return await _ended(await self._calls.unary(method, partial(_only, stream), _incoming(context)), context)

        return behavior

    def _from_stream(self, method: Method) -> Any:
        async def behavior(stream: AsyncIterator[bytes], context: Context) -> bytes:
            messages = _to_half_close(stream, context)
            return await _ended(await self._calls.from_stream(method, messages, _incoming(context)), context)

        return behavior

    def _to_stream(self, method: Method) -> Any:
        # No generator: what it yields would be waited for by gRPC, where no end can be put to it.
        async def behavior(stream: AsyncIterator[bytes], context: Context) -> None:
            receive = partial(_only, stream)
            await _ended(await self._calls.to_stream(method, receive, _incoming(context), context.write), context)

        return behavior

    async def _beside(self, handler: Handler | None, path: str) -> Handler | None:
        """Pass on what is none of the contract's; of that only reflection asks who calls."""
        rpc = path.rpartition("/")[2]
        if handler is None or rpc != REFLECTION:
            return handler
        answer: Any = handler.stream_stream

        async def behavior(stream: AsyncIterator[Any], context: Context) -> None:
            async def work() -> None:
                async for response in answer(stream, context):
                    await context.write(response)

            await _ended(await self._calls.beside(rpc, _incoming(context), work), context)

        return grpc.stream_stream_rpc_method_handler(
            behavior, handler.request_deserializer, handler.response_serializer
        )


def _incoming(context: Context) -> IncomingCall:
    metadata = joined((name, value) for name, value in context.invocation_metadata() or () if isinstance(value, str))
    shown = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    return IncomingCall(context.peer(), metadata, None if shown is None else from_pem(shown))


async def _only(stream: AsyncIterator[bytes]) -> bytes:
    """Wait for the one request of a call."""
    async for message in stream:
        return message
    raise asyncio.CancelledError  # it was cut


async def _to_half_close(stream: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    """Pass a stream on to its end; one that was cut raises CancelledError.

    gRPC ends the iteration alike in both cases. But nothing can be sent on a call that was cut.
    """
    async for message in stream:
        yield message
    try:
        await context.send_initial_metadata(())
    except aio.BaseError as error:
        raise asyncio.CancelledError from error


async def _ended(answer: A | errors.GrpcError, context: Context) -> A:
    """Pass an answer on, or end the call with the error that it is."""
    if isinstance(answer, errors.GrpcError):
        await _abort(context, answer)
    return answer


async def _abort(context: Context, error: errors.GrpcError) -> NoReturn:
    await context.abort(error.code, error.message, ((errors.DETAILS_KEY, error.details()),))
    raise AssertionError("abort returned")
