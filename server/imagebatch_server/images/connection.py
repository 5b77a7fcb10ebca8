"""What one connection may cost: a host that makes much work of little image is given up."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError, TransferEncodingError
from aiohttp.streams import EMPTY_PAYLOAD

from imagebatch_server.images import head

MAX_HEAD_BYTES = 64 * 1024
"""Of status lines and headers, those of interim answers included; to parse more of them is much work for an image."""

MAX_INTERIM_ANSWERS = 16

_FIRST_FINAL = 200
_HEAD_SLICE_BYTES = 4 * 1024
_FIRST_BODY_SLICE_BYTES = 4 * 1024
_BODY_SLICE_BYTES = 16 * 1024
"""Of a body in chunks: a megabyte of one-byte chunks takes a tenth of a second, and most show at once what they are."""

_UNFRAMED_SLICE_BYTES = 1024 * 1024

_FREE_READS = 64
_LEAST_BYTES_A_READ = 128
_FREE_BODY_BYTES = 4 * 1024
_LEAST_SHARE = 0.75
"""Of what comes as a body, how much is to be the body itself; the rest is the framing of chunks."""


class WastefulHost(aiohttp.ClientError):
    """A host makes more work than an image is worth; the message says how, to be read after the URL."""


class FrugalConnection(ResponseHandler):
    """aiohttp's connection, which judges by number and size, for each answer anew, what the host sends.

    Where a head comes in one piece, as nearly all do, it is tidied, and nothing is read beyond the length it names.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._begin_answer()

    def set_response_params(self, **parameters: Any) -> None:
        self._begin_answer()
        # One bound for all of a head, and it is here; aiohttp's own are on each line and the number of lines.
        parameters |= dict.fromkeys(("max_line_size", "max_field_size", "max_headers"), 2 * MAX_HEAD_BYTES)
        super().set_response_params(**parameters)

    def _begin_answer(self) -> None:
        self._reads = 0
        self._received_bytes = 0
        self._head_bytes: int | None = None
        self._answers = 0
        self._is_chunked = False
        self._is_given_up = False
        self._is_whole_head = False
        self._head_is_next = True
        self._left_bytes: int | None = None

    def feed_data(self, data: Any, size: int = 0) -> None:
        self._answers += 1
        message = data[0]
        self._is_chunked = message.chunked
        if self._is_whole_head and message.code >= _FIRST_FINAL and "Content-Length" in message.headers:
            self._left_bytes = int(message.headers["Content-Length"])
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        payload = self._payload
        if isinstance(exc, HttpProcessingError) and payload is not None and payload is not EMPTY_PAYLOAD:
            broken = aiohttp.ClientPayloadError()  # aiohttp leaves whoever reads the body waiting for more of it
            broken.__cause__ = TransferEncodingError(exc.message)
            payload.set_exception(broken)

    def data_received(self, data: bytes) -> None:
        self._reads += bool(data)  # without any, what was held back is parsed
        at = 0
        while True:
            if self._is_given_up:
                return  # whoever reads the answer is about to close the connection
            if data and self._left_bytes == 0:
                self._should_close = True
                return  # more than there is to be
            piece = self._next_piece(data, at)
            super().data_received(head.tidied(piece) if self._is_whole_head else piece)
            at += len(piece)
            self._received_bytes += len(piece)
            waste = self._waste()
            if waste is not None:
                self._give_up(waste)
            if at >= len(data):
                return

    def _next_piece(self, data: bytes, at: int) -> bytes:
        """Take what is parsed next: a head by itself, if it is here as a whole, or as much as may be parsed."""
        self._is_whole_head = False
        end = min(at + self._slice_bytes(), len(data))
        if self._left_bytes is not None:
            end = min(end, at + self._left_bytes)
            self._left_bytes -= end - at
        elif self._head_bytes is None:
            head_end = data.find(head.END, at, end)
            self._is_whole_head = self._head_is_next and head_end >= 0
            self._head_is_next = head_end >= 0
            end = head_end + len(head.END) if head_end >= 0 else end
        return data[at:end] if at or end < len(data) else data

    def _slice_bytes(self) -> int:
        """Tell how much may be parsed before the host is judged again; a body without framing is no work."""
        if self._head_bytes is None:
            return _HEAD_SLICE_BYTES
        if not self._is_chunked:
            return _UNFRAMED_SLICE_BYTES
        is_first = self._received_bytes - self._head_bytes < _FREE_BODY_BYTES
        return _FIRST_BODY_SLICE_BYTES if is_first else _BODY_SLICE_BYTES

    def _waste(self) -> str | None:
        if self._answers > MAX_INTERIM_ANSWERS + 1:
            return f"sent more than {MAX_INTERIM_ANSWERS} interim answers"
        if self._reads > _FREE_READS and self._received_bytes < _LEAST_BYTES_A_READ * self._reads:
            return "sends its answer a few bytes at a time"
        payload = self._payload
        if payload is None or payload is EMPTY_PAYLOAD:
            if self._received_bytes > MAX_HEAD_BYTES:
                return f"sent more than {MAX_HEAD_BYTES:,} bytes of headers"
            return None
        if self._head_bytes is None:
            self._head_bytes = self._received_bytes
        came = self._received_bytes - self._head_bytes
        if came >= _FREE_BODY_BYTES and payload.total_bytes < _LEAST_SHARE * came:
            return "sends its answer in chunks of a few bytes"
        return None

    def _give_up(self, waste: str) -> None:
        self._is_given_up = True
        if self.transport is not None:
            self.transport.pause_reading()
        if self._payload is not None and self._payload is not EMPTY_PAYLOAD:
            self._payload.set_exception(WastefulHost(waste))
        self.set_exception(WastefulHost(waste))
