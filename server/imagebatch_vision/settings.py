"""What the operator sets for the models that run on the server's own processors."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from imagebatch_server.operations import OperationSettings


class VisionSettings(OperationSettings):
    """How long models are kept that nobody asks."""

    section: ClassVar[str] = "vision"

    unload_after_s: float = Field(
        default=600.0,
        gt=0,
        description="Time after which a worker lets go of models of describe and verify that no image has needed; the "
        "next image that does waits about a second for them.",
    )
