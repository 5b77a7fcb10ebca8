"""An executor whose asynchronous operations ask an endpoint of the tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.executors.harness import Bench, bench
from tests.integration.openai.proxy import Proxy

from imagebatch_server.operations.configuration import Configuration
from imagebatch_server.operations.registry import OperationRegistry
from imagebatch_vision.endpoint.settings import OpenAISettings

KEY = "sk-not-to-be-told"


@asynccontextmanager
async def asking(proxy: Proxy, **settings: Any) -> AsyncGenerator[Bench, None]:
    """Make a bench for `describe` and `verify` with backend `openai`; `settings` are the endpoint's."""
    given = {"base_url": f"{proxy.url}/v1", "model": "gpt-4o-mini", "api_key": KEY, **settings}
    registry = OperationRegistry.load()
    async with bench(
        operations=registry.references(),
        resolve=registry.resolve,
        concurrency=32,
        configuration=Configuration.holding(OpenAISettings.model_validate(given)),
    ) as on:
        yield on
