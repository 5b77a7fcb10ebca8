"""A server that follows a script: what each attempt of an rpc is answered, and where its stream breaks.

It speaks the contract by the message descriptors alone, over a real connection, and keeps what clients asked for.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2

_SERVICES = {
    service.full_name: service
    for file in (batch_service_pb2.DESCRIPTOR, image_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
}

BATCH_ID = "01931c0e-7d2a-7cc3-98c4-dc0c0c0739b1"

Answers = Sequence[Message] | Callable[[Any], Iterable[Message]]


@dataclass(frozen=True)
class Attempt:
    """One attempt: its answers (or a function of the request that gives them), then how it ends.

    `code` None ends it well, `hangs` not at all. `reads` is how many requests of a client stream are read before; None
    is all of them.
    """

    answers: Answers = ()
    code: grpc.StatusCode | None = None
    reason: str = ""
    message: str = "as scripted"
    retry_after_s: float | None = None
    violations: Sequence[tuple[str, str]] = ()
    hangs: bool = False
    reads: int | None = None


class ScriptedServer(grpc.GenericRpcHandler):
    """Serve on a port of this machine, 0 for a free one. What the script lacks is answered with UNIMPLEMENTED."""

    def __init__(
        self, port: int = 0, *, credentials: grpc.ServerCredentials | None = None, **script: Sequence[Attempt]
    ) -> None:
        self._script = {rpc: deque(attempts) for rpc, attempts in script.items()}
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.metadata: list[dict[str, str | bytes]] = []
        self.began = threading.Event()  # a call has come, and as much of its requests as the script reads
        self.uploading, self.submitting = threading.Event(), threading.Event()  # such a call has come
        self.ended = threading.Event()  # a call is over, by its answer or because the client left it
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers([self])
        where = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, credentials)
        self._server.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.stop(None).wait()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        service, _, rpc = handler_call_details.method.strip("/").partition("/")
        method = _SERVICES[service].methods_by_name[rpc]
        streams_in, streams_out = method.client_streaming, method.server_streaming

        def handle(request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
            self.metadata.append(dict(context.invocation_metadata()))
            over = threading.Event()
            for callback in (over.set, self.ended.set):
                context.add_callback(callback)
            attempt = self._next(rpc)
            if streams_in:
                request = self._read(request, attempt.reads)
            self.requests[rpc].append(request)
            self.began.set()
            if event := {"UploadImage": self.uploading, "SubmitBatch": self.submitting}.get(rpc):
                event.set()
            yield from attempt.answers(request) if callable(attempt.answers) else attempt.answers
            if attempt.hangs:
                over.wait(60)
            if attempt.code is not None:
                _abort(context, attempt)

        def handle_one(request: Any, context: grpc.ServicerContext) -> Message | None:
            return next(iter(list(handle(request, context))), None)

        kinds: dict[tuple[bool, bool], Any] = {
            (False, False): (grpc.unary_unary_rpc_method_handler, handle_one),
            (False, True): (grpc.unary_stream_rpc_method_handler, handle),
            (True, False): (grpc.stream_unary_rpc_method_handler, handle_one),
        }
        make, handler = kinds[(streams_in, streams_out)]
        handler_made: grpc.RpcMethodHandler[Any, Any] = make(
            handler,
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        return handler_made

    def _next(self, rpc: str) -> Attempt:
        attempts = self._script.get(rpc)
        if not attempts:
            return Attempt(code=grpc.StatusCode.UNIMPLEMENTED, message=f"the script has no (more) {rpc}")
        return attempts.popleft()

    @staticmethod
    def _read(requests: Iterator[Message], count: int | None) -> list[Message]:
        return list(requests) if count is None else [next(requests) for _ in range(count)]


def _abort(context: grpc.ServicerContext, attempt: Attempt) -> None:
    assert attempt.code is not None
    details: list[Any] = []
    if attempt.violations:
        bad_request = error_details_pb2.BadRequest()
        for field, description in attempt.violations:
            bad_request.field_violations.add(field=field, description=description)
        details.append(bad_request)
    if attempt.reason:
        details.append(error_details_pb2.ErrorInfo(reason=attempt.reason, domain="imagebatch.v1"))
    if attempt.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(attempt.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=attempt.code.value[0], message=attempt.message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    if details:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(attempt.code, attempt.message)


def unavailable(**more: Any) -> Attempt:
    return Attempt(code=grpc.StatusCode.UNAVAILABLE, **more)


def status(
    batch_id: str = BATCH_ID, value: str = "COMPLETED", total: int = 0, done: int = 0
) -> types_pb2.BatchStatusResult:
    return types_pb2.BatchStatusResult(
        batch_id=batch_id,
        status=types_pb2.BatchStatus.Value(f"BATCH_STATUS_{value}"),
        total_items=total,
        processed_items=done,
        successful_items=done,
        success_rate=1.0 if done else 0.0,
        progress_percentage=100 * done / total if total else 0.0,
        operation="describe",
    )


def listed(*batches: types_pb2.BatchStatusResult) -> Attempt:
    """Answer a page of these batches, the only one."""
    return Attempt([batch_service_pb2.ListBatchesResponse(batches=batches)])


def outcome(sequence: int, index: int | None = None) -> types_pb2.BatchItemResult:
    result = types_pb2.BatchItemResult(
        item_id=f"item-{sequence}",
        item_index=sequence - 1 if index is None else index,
        status=types_pb2.BATCH_ITEM_STATUS_SUCCESS,
        sequence=sequence,
        attempts=1,
        processing_time_ms=3,
    )
    result.output_data.fields["description"].string_value = f"picture {sequence}"
    return result


def watch_from(
    total: int, per_message: int = 1, cut_after: int | None = None
) -> Callable[[batch_service_pb2.WatchBatchRequest], Iterator[batch_service_pb2.WatchBatchResponse]]:
    """Script a batch with `total` outcomes, sent from where the client is: the last has the terminal status.

    `cut_after` is the number of messages after which nothing more is sent.
    """

    def answers(request: batch_service_pb2.WatchBatchRequest) -> Iterator[batch_service_pb2.WatchBatchResponse]:
        sent, at = 0, request.after_sequence
        while cut_after is None or sent < cut_after:
            upto = min(at + per_message, total)
            is_last = upto == total
            yield batch_service_pb2.WatchBatchResponse(
                results=[outcome(sequence) for sequence in range(at + 1, upto + 1)],
                status=status(value="COMPLETED" if is_last else "PROCESSING", total=total, done=upto),
                sequence=upto,
            )
            sent, at = sent + 1, upto
            if is_last:
                return

    return answers
