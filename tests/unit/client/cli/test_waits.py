from __future__ import annotations

import logging

import pytest

from imagebatch_client.cli.waits import Waits


def test_why_a_command_waits_is_told_once_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    waits = Waits()
    for number in (1, 1, 2):
        waits.handle(logging.makeLogRecord({"msg": f"still trying: store {number}\x1b[2J\naway"}))
    assert capsys.readouterr().err.splitlines() == [
        "imagebatch: still trying: store 1 [2J away",
        "imagebatch: still trying: store 2 [2J away",
    ]
