"""What an operation is: the one class that a plug-in writes, derived from one of three by how it works."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.configuration import OperationSettings


class Parameters(BaseModel):
    """Base of an operation's parameters: unknown names are refused, so a typing mistake can't pass for a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """Validate what a caller sent, with JSON's kinds kept apart: true is not 1, "3" is no number.

        Raises pydantic's ValidationError.
        """
        try:
            return cls.model_validate_json(json.dumps(given), strict=True)
        except ValidationError as strict:
            details = strict.errors(include_url=False)
            try:
                cls.model_validate(given)
            except ValidationError as lax:  # which says more of a text that is no number, but nothing of wrong kinds
                said = {detail["loc"]: detail for detail in lax.errors(include_url=False)}
                details = [*said.values(), *(detail for detail in details if detail["loc"] not in said)]
            raise ValidationError.from_exception_data(cls.__name__, [_again(detail) for detail in details]) from None


def _again(detail: ErrorDetails) -> InitErrorDetails:
    """Make what pydantic takes of what it gave."""
    return InitErrorDetails(type=detail["type"], loc=detail["loc"], input=detail["input"], ctx=detail.get("ctx", {}))


class StrictParameters(Parameters):
    """Base of the parameters of an operation that uses what there is of a truncated picture, unless told not to.

    Its output says so (`PictureOutput`). Operations with other parameters are given whole pictures only.
    """

    strict: bool = Field(
        default=False,
        description="Whether a truncated file is refused (DECODE_FAILED), for lack of the end of its picture. If not, "
        "what there is of the picture is used, the rest is black or grey, and the output's `is_truncated` says so.",
    )


class Output(BaseModel):
    """Base of an operation's output; its JSON becomes the item's `output_data`.

    It may have 30 levels, and its numbers are finite; an item whose output breaks that fails with INTERNAL.
    """

    # A number that JSON can't say is to be found, not turned into null.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class PictureOutput(Output):
    """Base of an output that rests on a picture: whether all of it was there."""

    is_truncated: bool = Field(
        default=False, description="Whether the file ends before its picture does, so that a part is missing."
    )
    is_preview: bool = Field(
        default=False,
        description="Whether it is of the preview that a camera put into its raw file; sizes are the preview's.",
    )


class MeteredOutput(Output):
    """Base of an output that may have cost tokens of a model; they are added up in the batch's status too."""

    input_tokens: int | None = Field(
        default=None, ge=0, description="Tokens of the request, as the endpoint counted them; absent without one."
    )
    output_tokens: int | None = Field(default=None, ge=0, description="Tokens of the answer, likewise.")


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


MOST_IN_FLIGHT = 64
"""Items of asynchronous operations, where an operation doesn't ask for more."""

P = TypeVar("P", bound=Parameters)


class BaseOperation(Generic[P]):
    """What the three kinds have in common. A child process makes one instance and calls `load` before the first item.

    Running an item raises `ItemError` for a failure with a known code; any other exception becomes INTERNAL.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    description: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    output: ClassVar[type[Output]]
    backends: ClassVar[Mapping[str, type[BaseOperation[Any]]]] = {}
    """Other classes that run the operation, of any kind, by the value of the parameter `backend` that asks for them.
    They have the same parameters and output.
    """
    settings: ClassVar[type[OperationSettings]] = OperationSettings
    """What the operator of a server may set for the operation, or for several that name the same class."""
    resources: ClassVar[Mapping[str, float]] = {}
    """What it takes of a cluster's node while it runs, beside a processor: `num_gpus`, or what nodes were given by
    `ray start --resources`. It runs on nodes that have it, and as often at one time as there is enough. A server
    without a cluster runs it on its own machine and does not look.
    """
    configured: Any = OperationSettings()
    """What the operator did set, of the class `settings`; given before `load`."""

    @classmethod
    def refusals(cls, parameters: P, configured: Any) -> Mapping[str, str]:
        """Say why a server so configured can't run with these parameters, by parameter; empty if it can."""
        return {}

    def load(self) -> None:
        """Load models and warm them; may be slow."""

    def run_unopened(self, error: ItemError, parameters: P, item: ItemContext) -> Output | Stored:
        """Answer for a file that can't be opened as an image; `error` says why. As a rule it is the item's failure."""
        raise error


class Operation(BaseOperation[P]):
    """An ordinary operation: CPU-bound, one item at a time, in the worker processes."""

    def run(self, image: Image, parameters: P, item: ItemContext) -> Output | Stored:
        """Run on one image; `image.pixels` decodes it on first use."""
        raise NotImplementedError


class ChunkOperation(BaseOperation[P]):
    """An operation that takes several items at once, for models that want batches, in the worker processes.

    The items of a chunk share their time: it has to end within the least `item_timeout` among them. A chunk that
    crashes, hangs or raises is run again item by item, so that an item is charged for nothing but what it did alone.
    """

    most_items: ClassVar[int] = 16
    """Items of one chunk; there are fewer where no more are at hand."""

    def run_many(
        self, images: Sequence[Image], parameters: P, items: Sequence[ItemContext]
    ) -> Sequence[Output | Stored | ItemError]:
        """Run on some images, at least one; answers what came of each, in their order."""
        raise NotImplementedError


class AsyncOperation(BaseOperation[P]):
    """An I/O-bound operation: many items in flight, all in one process, so that its limits are the server's.

    That process has one event loop: what blocks it delays all, and what blocks it past an item's time ends it. Decoding
    and other work for the processor belongs into `in_thread`.
    """

    @classmethod
    def most_in_flight(cls, configured: Any) -> int:
        """Say how many items its process may hold at one time, those that wait in `slot` included."""
        return MOST_IN_FLIGHT

    def slot(self) -> AbstractAsyncContextManager[object]:
        """Wait for whatever limits the operation: entered before an item is begun, held to its end.

        Waiting here costs no attempt and is not on the item's clock.
        """
        return nullcontext()

    async def run(self, image: Image, parameters: P, item: ItemContext) -> Output | Stored:
        """Run on one image. Cancelled when the item's time is over; it has to yield then."""
        raise NotImplementedError
