"""What the operator of a server sets for operations. Handed to the child that needs it, never stored with a batch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class OpenAIEndpoint:
    """An endpoint that speaks OpenAI's HTTP API, and how much the server may ask of it, over all batches together."""

    base_url: str
    """Such as `https://api.openai.com/v1` or `http://127.0.0.1:11434/v1`."""
    model: str | None = None
    """The model for batches that name none."""
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = 16
    """Requests under way at one time."""
    requests_per_minute: float | None = None
    """Requests begun in a minute, evenly spread; None: as many as come."""


@dataclass(frozen=True)
class Configuration:
    """All of it."""

    openai: OpenAIEndpoint | None = None
    """None: the backends `openai` are not offered."""
