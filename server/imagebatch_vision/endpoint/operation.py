"""The base of operations whose work a model behind an endpoint does."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import ClassVar, TypeVar

from imagebatch_server.operations import AsyncOperation, OperationSettings
from imagebatch_vision.endpoint.client import NO_ENDPOINT, Endpoint, endpoint_of
from imagebatch_vision.endpoint.parameters import EndpointParameters
from imagebatch_vision.endpoint.settings import OpenAISettings

E = TypeVar("E", bound=EndpointParameters)


class EndpointOperation(AsyncOperation[E]):
    """Ask the endpoint that the server's settings name."""

    settings: ClassVar[type[OperationSettings]] = OpenAISettings
    configured: OpenAISettings
    _endpoint: Endpoint

    @classmethod
    def refusals(cls, parameters: E, configured: OpenAISettings) -> Mapping[str, str]:
        """Refuse batches where no endpoint is set, no client is installed, or no model is named."""
        if configured.base_url is None:
            return {"backend": f"openai is refused: {NO_ENDPOINT}; or use backend local"}
        if find_spec("openai") is None:
            return {"backend": "openai is refused: the server's installation lacks imagebatch-vision[openai]"}
        if parameters.model is None and configured.model is None:
            return {"model": "is missing: name a model of the endpoint, or its operator sets IMAGEBATCH_OPENAI_MODEL"}
        return {}

    @classmethod
    def most_in_flight(cls, configured: OpenAISettings) -> int:
        """Hold an item more for each request, so that its image is decoded when its turn comes."""
        return 2 * configured.concurrency

    def load(self) -> None:
        """Import the client; half a second. Raises RuntimeError without an endpoint, ImportError without the client."""
        self._endpoint = endpoint_of(self.configured)

    def slot(self) -> AbstractAsyncContextManager[object]:
        """Wait for leave to make one request of the endpoint."""
        return self._endpoint.limits.slot()
