"""What the operator sets for the backend `openai`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr

from imagebatch_server.operations import OperationSettings


class OpenAISettings(OperationSettings):
    """An endpoint that speaks OpenAI's HTTP API, and how much the server may ask of it, over all batches together."""

    section: ClassVar[str] = "openai"

    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]",
        description="An endpoint that speaks OpenAI's API, such as https://api.openai.com/v1 or "
        "http://127.0.0.1:11434/v1; absent: no backend openai.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Its key, if it wants one. The variable is safer than the flag, which `ps` shows."
    )
    model: str | None = Field(default=None, description="The model for batches that name none.")
    concurrency: int = Field(default=16, ge=1, le=1024, description="Requests to it at one time, of one server.")
    requests_per_minute: float | None = Field(
        default=None,
        gt=0,
        description="Requests to it in a minute, evenly spread, of all servers together; absent: as many as come.",
    )
