"""Log lines by structlog: console or JSON, on standard error, without the query strings of URLs."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_QUERY = re.compile(r"(https?://[^\s?#'\"]+)[?#][^\s'\"]*")


def configure(log_format: str, level: str) -> None:
    """Set up logging for the process, the libraries' included."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks become text before queries are cut off, because they quote URLs too.
    last: list[Any] = [structlog.processors.format_exc_info, _without_queries]
    if console:
        last.append(_harmless)
        renderer: Any = structlog.dev.ConsoleRenderer(colors=_has_colours(sys.stderr))
    else:
        renderer = structlog.processors.JSONRenderer()  # which escapes whatever is not ASCII
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _has_colours(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal on which colours are wanted: see no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _harmless(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what a terminal would act on: texts may come from images and hosts. A traceback keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            kept = "\n" if key == "exception" else ""
            event[key] = "".join(
                each if each.isprintable() or each in kept else each.encode("unicode_escape").decode() for each in value
            )
    return event


def _without_queries(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _QUERY.sub(r"\1", value)
    return event
