"""What a caller may choose where a model behind an endpoint does the work."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from imagebatch_server.operations import StrictParameters

_ENDPOINT_ONLY = ("prompt", "model", "detail", "max_side", "max_output_tokens")


class EndpointParameters(StrictParameters):
    """Base of the parameters of an operation that has the backends `local` and `openai`."""

    local_only: ClassVar[tuple[str, ...]] = ()
    """Names of parameters that mean something to the local backend alone."""

    backend: Literal["local", "openai"] = Field(
        default="local",
        description="What looks at the image. `local`: models that ship with the server; works offline, states only "
        "what it measured or recognised. `openai`: a vision model behind an endpoint of the operator's choice that "
        "speaks OpenAI's API; the image is sent there, which may cost money, and after a crash is sent once more.",
    )
    prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=8_000,
        description="For `openai`: instructions for the model, instead of the server's own. The form of the answer is "
        "given to the model besides.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="For `openai`: the model, as the endpoint names it. Absent: the one that the operator set.",
    )
    detail: Literal["auto", "low", "high"] = Field(
        default="auto",
        description="For `openai`: how closely the model is to look, as OpenAI's API defines it; it decides the cost "
        "there, and other servers may ignore it.",
    )
    max_side: int = Field(
        default=1024,
        ge=64,
        le=4096,
        description="For `openai`: the longest side, in pixels, of the JPEG (quality 85) that is sent. A larger image "
        "is scaled down to it, a smaller one is sent in its size; upright, without metadata, of an animation the first "
        "frame.",
    )
    max_output_tokens: int | None = Field(
        default=None,
        ge=16,
        le=100_000,
        description="For `openai`: the most tokens of an answer, thinking included; a longer one fails its item. "
        "Absent: as the endpoint decides.",
    )

    @model_validator(mode="after")
    def _fits_backend(self) -> EndpointParameters:
        foreign, other = (_ENDPOINT_ONLY, "openai") if self.backend == "local" else (self.local_only, "local")
        fields = type(self).model_fields
        given = [name for name in foreign if getattr(self, name) != fields[name].get_default()]
        if given:
            raise ValueError(f"backend {self.backend} does not know {', '.join(given)}; leave it out, or use {other}")
        return self
