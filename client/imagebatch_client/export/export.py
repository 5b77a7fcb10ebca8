"""One export, from its first item or where an earlier one was ended to the whole file. It asks no server itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from imagebatch_client.errors import IncompatibleServerError, InvalidRequestError
from imagebatch_client.export.columns import Columns
from imagebatch_client.export.cursor import Cursor, Workplace
from imagebatch_client.export.form import Images
from imagebatch_client.export.forms import form_of
from imagebatch_client.export.page import MOST_ITEMS, most_image_bytes, pictured
from imagebatch_client.export.writer import Spoilt, TextWriter, Writer
from imagebatch_client.resume import ResultsWalk
from imagebatch_client.types import BatchExport, BatchItemStatus, BatchResults, BatchStatusResult, Operation

PARQUET, CSV, JSONL, HTML = FORMATS = (".parquet", ".csv", ".jsonl", ".html")

_SAVED_ITEMS: Final = 10_000
_SAVED_BYTES: Final = 32 * 1024 * 1024
_WAITING = frozenset({BatchItemStatus.PENDING, BatchItemStatus.PROCESSING})


class Export:
    """The state of an export: a context manager, which keeps what it has if it is left before its end.

    Its methods may be called from any thread, by one caller at a time.
    """

    def __init__(self, batch_id: str, path: str | os.PathLike[str], *, replaces: bool) -> None:
        """Raise InvalidRequestError for a path that can't be exported to."""
        self._batch_id = batch_id
        self._path = _checked(path)
        self._replaces = replaces
        self._workplace = Workplace(self._path)
        self._cursor: Cursor | None = None
        self._writer: Writer | None = None
        self._walk = ResultsWalk(0, include_failed=True)
        self._waiting_items = 0
        self._lock = threading.Lock()  # a thread that is left alone by its event loop may still be writing

    def __enter__(self) -> Self:
        """Take up what an earlier export has left. Raises InvalidRequestError where that is not to be touched."""
        try:
            found = self._workplace.open()
            if self._path.exists() and not self._replaces:
                raise _refused(
                    f"{self._path} is there already; "
                    "give another name, or replace it by replace=True (--force of the command line)"
                )
            if found is not None and found.batch_id == self._batch_id:
                self._go_on(found)
            elif found is not None and not self._replaces:
                raise _refused(
                    f"{self._workplace.folder} is a started export of batch {found.batch_id}; "
                    "give another name, or replace it by replace=True (--force of the command line)"
                )
        except BaseException:
            self._workplace.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.close()
            self._writer = None
            self._workplace.close()

    @property
    def is_begun(self) -> bool:
        return self._writer is not None

    def begin(self, batch: BatchStatusResult, operations: Iterable[Operation]) -> None:
        """Start with the first item. Raises InvalidRequestError for more items than the format takes."""
        if self._path.suffix == HTML and batch.total_items > MOST_ITEMS:
            raise _refused(
                f"a page of HTML has at most {MOST_ITEMS:,} items, and this batch has {batch.total_items:,}; "
                "export it as .parquet, .csv or .jsonl, which take any number"
            )
        schemas = {operation.name: operation.output_schema for operation in operations}
        cursor = Cursor(self._batch_id, batch.operation, batch.total_items, schemas.get(batch.operation))
        try:
            self._workplace.begin(cursor)
        except OSError as error:
            raise _refused(f"{self._path} can't be written: {error.strerror}; give another name") from error
        self._go_on(cursor)

    @property
    def has_more(self) -> bool:
        return self._walk.has_more

    @property
    def offset(self) -> int:
        """Where the next page begins."""
        return self._walk.offset

    @property
    def page_size(self) -> int:
        """How many items to ask for: with their images, fewer are in memory at a time."""
        return 100 if self._path.suffix == HTML else 1000

    @property
    def most_image_bytes(self) -> int:
        """How large an image may be to be part of the file."""
        return most_image_bytes(self._begun()[0].total_items)

    def images_of(self, page: BatchResults) -> list[str]:
        """List the keys of the images that the items of a page are written with."""
        if self._path.suffix != HTML:
            return []
        return [key for item in page.results if (key := pictured(item)) is not None]

    def write(self, page: BatchResults, images: Images) -> BatchExport:
        """Write a page's items, and tell how far that is."""
        with self._lock:
            cursor, writer = self._begun()
            items = self._walk.received(page)
            if items:
                writer.write(items, images)
            self._waiting_items += sum(item.status in _WAITING for item in items)
            if self.offset - cursor.items >= _SAVED_ITEMS or writer.unsaved_bytes >= _SAVED_BYTES:
                self._save()
            return self._progress()

    def finish(self) -> BatchExport:
        """Put the whole file where it was asked for."""
        with self._lock:
            cursor, writer = self._begun()
            if self.offset != cursor.total_items:
                raise IncompatibleServerError(
                    f"the server says that item {self.offset} is the last of {cursor.total_items}; export again"
                )
            self._save()
            writer.finish().replace(self._path)
            self._workplace.remove()
            return self._progress()

    def _go_on(self, cursor: Cursor) -> None:
        try:
            self._writer = self._writer_for(cursor)
        except Spoilt:
            cursor = replace(cursor, items=0, waiting_items=0, size_bytes=0)
            self._workplace.begin(cursor)
            self._writer = self._writer_for(cursor)
        self._cursor = cursor
        self._waiting_items = cursor.waiting_items
        self._walk = ResultsWalk(cursor.items, include_failed=True)
        self._walk.has_more = cursor.items < cursor.total_items

    def _writer_for(self, cursor: Cursor) -> Writer:
        folder = self._workplace.folder
        if self._path.suffix == PARQUET:
            from imagebatch_client.export.parquet import ParquetWriter

            return ParquetWriter(folder, cursor, Columns(cursor.output_schema))
        return TextWriter(folder, cursor, form_of(self._path.suffix, cursor))

    def _save(self) -> None:
        cursor, writer = self._begun()
        size_bytes = writer.save()
        self._cursor = replace(cursor, items=self.offset, waiting_items=self._waiting_items, size_bytes=size_bytes)
        self._workplace.save(self._cursor)

    def _progress(self) -> BatchExport:
        cursor, _ = self._begun()
        return BatchExport(str(self._path), self.offset, cursor.total_items, self._waiting_items)

    def _begun(self) -> tuple[Cursor, Writer]:
        if self._cursor is None or self._writer is None:
            raise RuntimeError("the export was not begun, or is over")
        return self._cursor, self._writer


def _checked(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise _refused(f"is {type(path).__name__}; give the path of a file")
    checked = Path(path)
    if checked.suffix not in FORMATS:
        raise _refused(f"{str(checked)!r} ends in none of {', '.join(FORMATS)}, which say the format")
    if checked.is_dir():
        raise _refused(f"{checked} is a folder; give a file")
    if checked.suffix == PARQUET and find_spec("pyarrow") is None:
        raise _refused(
            "Parquet needs PyArrow; install it with: pip install 'imagebatch-client[export]', "
            "or export as .csv or .jsonl"
        )
    return checked


def _refused(description: str) -> InvalidRequestError:
    return InvalidRequestError.of_field("path", description)
