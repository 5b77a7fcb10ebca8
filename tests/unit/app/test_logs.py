"""Log lines on a console: no colour where none is wanted, and no text that drives the terminal."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from imagebatch_server.app import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[io.StringIO]]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield io.StringIO
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def written(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, log_format: str = "console", **fields: str) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure(log_format, "info")
    structlog.get_logger("imagebatch_server.test").info("item.failed", **fields)
    return stream.getvalue()


@pytest.mark.usefixtures("stderr")
def test_colours_are_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in written(monkeypatch, Terminal())
    assert "\x1b[" not in written(monkeypatch, io.StringIO())
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as only:
            only.setenv(name, value)
            assert "\x1b[" not in written(only, Terminal())


@pytest.mark.usefixtures("stderr")
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_texts_of_others_are_escaped(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    line = written(monkeypatch, io.StringIO(), log_format, why="bad \x1b[2J\x9b name\nerror forged \u202e räksmörgås")
    assert line.count("\n") == 1
    assert line.strip().isprintable()
    assert "x1b" in line or "u001b" in line


@pytest.mark.usefixtures("stderr")
def test_a_traceback_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("console", "info")
    try:
        raise ValueError("hostile \x1b[2J")
    except ValueError:
        structlog.get_logger("imagebatch_server.test").exception("call.failed")
    assert stream.getvalue().count("\n") > 3
    assert "\x1b" not in stream.getvalue()
