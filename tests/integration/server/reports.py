"""A failed test shows what its servers logged."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from tests.server import ServerProcess

LOG_CHARACTERS = 8_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, server in item.funcargs.items():
            if isinstance(server, ServerProcess):
                report.sections.append((f"log of {name}", server.log[-LOG_CHARACTERS:]))
    return report
