"""What operations have in common whose work a model behind an endpoint does."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import TypeVar

from imagebatch_server.operations.base import AsyncOperation
from imagebatch_server.operations.configuration import Configuration
from imagebatch_server.operations.endpoint.client import Endpoint, endpoint_of
from imagebatch_server.operations.endpoint.parameters import EndpointParameters

E = TypeVar("E", bound=EndpointParameters)

_NO_ENDPOINT = "this server has no endpoint to ask: its operator has to set IMAGEBATCH_OPENAI_BASE_URL"


class EndpointOperation(AsyncOperation[E]):
    """Asks the endpoint that the server's settings name."""

    _endpoint: Endpoint

    @classmethod
    def refusals(cls, parameters: E, configuration: Configuration) -> Mapping[str, str]:
        if configuration.openai is None:
            return {"backend": f"openai is refused: {_NO_ENDPOINT}; or use backend local"}
        if find_spec("openai") is None:
            return {"backend": "openai is refused: the server's installation lacks imagebatch[openai]"}
        if parameters.model is None and configuration.openai.model is None:
            return {"model": "is missing: name a model of the endpoint, or its operator sets IMAGEBATCH_OPENAI_MODEL"}
        return {}

    def load(self) -> None:
        """Import the client; half a second. Raises RuntimeError without an endpoint, ImportError without the client."""
        if self.configuration.openai is None:  # the batch is older than the server's settings
            raise RuntimeError(_NO_ENDPOINT)
        self._endpoint = endpoint_of(self.configuration.openai)

    def slot(self) -> AbstractAsyncContextManager[object]:
        return self._endpoint.limits.slot()
