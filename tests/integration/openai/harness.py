"""An executor whose asynchronous operations ask an endpoint of the tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.integration.executors.harness import Bench, bench
from tests.integration.openai.proxy import Proxy

from imagebatch_server.operations.configuration import Configuration, OpenAIEndpoint
from imagebatch_server.operations.registry import OperationRegistry

KEY = "sk-not-to-be-told"


@asynccontextmanager
async def asking(proxy: Proxy, **settings: Any) -> AsyncGenerator[Bench, None]:
    """A bench for `describe` and `verify` with backend `openai`; `settings` are the endpoint's."""
    endpoint = OpenAIEndpoint(base_url=f"{proxy.url}/v1", model="gpt-4o-mini", api_key=KEY)
    registry = OperationRegistry.load()
    async with bench(
        operations=registry.references(),
        resolve=registry.resolve,
        concurrency=32,
        configuration=Configuration(openai=replace(endpoint, **settings)),
    ) as on:
        yield on
