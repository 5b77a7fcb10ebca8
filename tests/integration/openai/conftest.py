from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.integration.openai.proxy import Proxy, proxying

if TYPE_CHECKING:
    from llmock.pytest_plugin import LLMock


@pytest.fixture
def proxy(llmock: LLMock) -> Iterator[Proxy]:
    """Lead to an `llmock` server, which answers questions with a form by JSON of that form."""
    with proxying(llmock.url) as running:
        yield running
