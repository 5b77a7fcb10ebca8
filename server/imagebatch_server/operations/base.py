"""What an operation is: the one class that a plug-in writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from imagebatch_server.images.decode import Image


class Parameters(BaseModel):
    """Base of an operation's parameters: unknown names are refused, so a typing mistake can't pass for a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """Base of an operation's output; its JSON becomes the item's `output_data`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class ItemContext:
    """What an operation may know of the item besides its image."""

    item_index: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    declared_type: str | None = None
    """The image type that the caller or the host named, such as `image/jpeg`; never trusted for decoding."""


@dataclass(frozen=True)
class Stored:
    """An output that carries one encoded image, which is stored with the outcome and served as `stored_image_url`."""

    output: Output
    data: bytes
    content_type: str


P = TypeVar("P", bound=Parameters)


class Operation(Generic[P]):
    """One image operation.

    A child process makes one instance and calls `load` once before the first item, then `run` for each item, one at a
    time. `run` raises `ItemError` for a failure with a known code; any other exception becomes INTERNAL.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    description: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    output: ClassVar[type[Output]]

    def load(self) -> None:
        """Load models and warm them; may be slow."""

    def run(self, image: Image, parameters: P, item: ItemContext) -> Output | Stored:
        """Run on one image; `image.pixels` decodes it on first use."""
        raise NotImplementedError
