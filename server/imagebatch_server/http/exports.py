"""A batch's items as a file, `/exports/BATCH_ID.csv` or `.jsonl`: the bytes that the client's `export` writes.

They are made by the client's own forms, which know messages alone, so that there is one of each.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from grpc import StatusCode

from imagebatch_client import convert
from imagebatch_client.export.cursor import Cursor
from imagebatch_client.export.form import Form
from imagebatch_client.export.forms import form_of
from imagebatch_client.resume import ResultsWalk
from imagebatch_server.batches.errors import RequestError
from imagebatch_server.http import status as statuses
from imagebatch_server.http.exchange import PIECE_BYTES, Exchange
from imagebatch_server.http.signed import UNKEPT
from imagebatch_server.rpc import errors
from imagebatch_server.rpc.call import IncomingCall
from imagebatch_server.rpc.call_limits import CallLimits
from imagebatch_server.rpc.calls import Calls
from imagebatch_server.rpc.errors import GrpcError
from imagebatch_server.rpc.transfers import Transfer

EXPORTS: Final = "exports"

_SERVICE = "/imagebatch.v1.BatchService"
_TYPES = {".csv": "text/csv; charset=utf-8; header=present", ".jsonl": "application/x-ndjson"}
_ITEMS_A_PAGE = 1_000
_PATIENCE_S = 60.0
"""How long a page is waited for that the caller's limits allow only later."""


class Refused(Exception):
    """A call that the export makes in its caller's name was refused."""

    def __init__(self, error: GrpcError) -> None:
        super().__init__(error.message)
        self.error = error


class Exports:
    """Write exports page by page as they are taken; memory does not grow with the batch.

    Each page is a call of GetBatchResults by whoever asks, so roles, tenants and limits are those of calls.
    """

    def __init__(self, calls: Calls, limits: CallLimits) -> None:
        self._calls = calls
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, "http-exports")  # more would only slow the loop, which has other callers

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a GET or a HEAD. Raises Disconnected."""
        if exchange.method not in ("GET", "HEAD"):
            await exchange.say(405, f"{exchange.method} is nothing for an export; use GET", {"allow": "GET, HEAD"})
            return
        batch_id, dot, ending = exchange.path.removeprefix(f"/{EXPORTS}/").rpartition(".")
        if f"{dot}{ending}" not in _TYPES:
            known = " and ".join(f"/{EXPORTS}/BATCH_ID{suffix}" for suffix in _TYPES)
            await exchange.say(404, f"{exchange.path}: exports are {known}; `imagebatch export` has more formats")
            return
        await exchange.body(0)
        try:
            with self._limits.connections.call(exchange.peer), self._limits.transfers.begin() as transfer:
                async with exchange.while_connected():
                    await self._send(exchange, transfer, batch_id, f"{dot}{ending}")
        except Refused as refused:
            await _refuse(exchange, refused.error)
        except RequestError as error:
            await _refuse(exchange, errors.translate(error))

    async def _send(self, exchange: Exchange, transfer: Transfer, batch_id: str, suffix: str) -> None:
        caller = IncomingCall(exchange.peer, exchange.headers, exchange.certificate)
        batch = await self._ask(caller, "GetBatchStatus", batch_id=batch_id)
        offered = await self._ask(caller, "ListOperations")
        schemas = {operation.name: operation.output_schema for operation in convert.operations(offered)}
        form = form_of(suffix, Cursor(batch.batch_id, batch.operation, batch.total_items, schemas.get(batch.operation)))
        headers = {
            **UNKEPT,
            "content-type": _TYPES[suffix],
            "content-disposition": f'attachment; filename="batch-{batch.batch_id}{suffix}"',
        }
        await exchange.begin(200, headers)
        if exchange.method == "GET":
            await _write(exchange, transfer, form.head().encode())
            walk = ResultsWalk(0, include_failed=True)
            while walk.has_more:
                page = await self._ask(
                    caller, "GetBatchResults", batch_id=batch_id, offset=walk.offset, limit=_ITEMS_A_PAGE
                )
                await _write(exchange, transfer, await self._in_thread(_written, form, walk, page))
            await _write(exchange, transfer, form.foot().encode())
        await exchange.write(b"", is_last=True)

    async def _ask(self, caller: IncomingCall, rpc: str, **fields: Any) -> Any:
        """Call an rpc in the caller's name, again while the caller has used up what it may ask for. Raises Refused."""
        method = self._calls.find(f"{_SERVICE}/{rpc}")
        assert method is not None  # noqa: S101 - the contract has them all
        request = method.request(**fields).SerializeToString()

        async def receive() -> bytes:
            return request

        left_s = _PATIENCE_S
        while isinstance(answer := await self._calls.unary(method, receive, caller), GrpcError):
            pause_s = answer.retry_after_s
            if answer.code is not StatusCode.RESOURCE_EXHAUSTED or pause_s is None or pause_s > left_s:
                raise Refused(answer)
            left_s -= pause_s
            await asyncio.sleep(pause_s)
        return await self._in_thread(method.response.FromString, answer)

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _written(form: Form, walk: ResultsWalk, page: Any) -> bytes:
    return form.body(walk.received(convert.results_page(page)), {}).encode()


async def _write(exchange: Exchange, transfer: Transfer, data: bytes) -> None:
    for at in range(0, len(data), PIECE_BYTES):
        await transfer.send(exchange.write(data[at : at + PIECE_BYTES]))


async def _refuse(exchange: Exchange, error: GrpcError) -> None:
    """Answer why, unless a part of the file was sent: the connection ends before the body does, which tells enough."""
    if not exchange.has_begun:
        status = statuses.of_error(error)
        headers = {**UNKEPT, **statuses.headers(status)}
        await exchange.say(statuses.http_status(status), status.message, headers)
