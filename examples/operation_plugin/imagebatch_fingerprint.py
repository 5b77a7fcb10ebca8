"""The operation `fingerprint`: pictures that look alike get alike fingerprints, whatever their size and format.

A difference hash: the picture in grey, brought down to a few pixels, of which each is brighter than its left neighbour
or is not. Copies that were resized or saved again differ in few of these bits, other pictures in about half.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from imagebatch_server.operations import Image, ItemContext, Operation, Output, Parameters


class FingerprintParameters(Parameters):
    """What a batch may ask for; ListOperations shows the descriptions, and submissions are held to the rules."""

    side: int = Field(
        default=8, ge=4, le=32, multiple_of=2, description="Rows and columns; a fingerprint has side * side bits."
    )
    reference: str | None = Field(
        default=None,
        pattern="^[0-9a-f]+$",
        description="The fingerprint of a picture, from a batch with the same `side`, to compare each one with.",
    )

    @model_validator(mode="after")
    def _check(self) -> FingerprintParameters:
        digits = self.side * self.side // 4
        if self.reference is not None and len(self.reference) != digits:
            raise ValueError(f"reference has {len(self.reference)} digits; with side {self.side} it needs {digits}")
        return self


class FingerprintOutput(Output):
    """What comes of each picture. What may be None is left out then, so it needs that default."""

    fingerprint: str = Field(description="The bits as hexadecimal digits, row by row.")
    bits: int = Field(description="How many bits there are.")
    distance: int | None = Field(
        default=None, description="Bits that differ from `reference`: below a tenth means the same picture."
    )
    operation_version: str = Field(description="The version of `fingerprint` that made this output.")


class Fingerprint(Operation[FingerprintParameters]):
    """The operation: a worker makes one of it, and calls `run` for each picture."""

    name: ClassVar[str] = "fingerprint"
    version: ClassVar[str] = "1.0.0"
    description: ClassVar[str] = "Computes a perceptual fingerprint, by which copies of a picture are found."
    parameters: ClassVar[type[Parameters]] = FingerprintParameters
    output: ClassVar[type[Output]] = FingerprintOutput

    def run(self, image: Image, parameters: FingerprintParameters, item: ItemContext) -> FingerprintOutput:
        """Compute it; a few milliseconds. Raises ItemError if the picture can't be decoded, which fails the item."""
        side = parameters.side
        grey = image.resized((side + 1, side)).convert("L").tobytes()
        bits = "".join(
            "1" if grey[row * (side + 1) + column + 1] > grey[row * (side + 1) + column] else "0"
            for row in range(side)
            for column in range(side)
        )
        value = int(bits, 2)
        reference = parameters.reference
        return FingerprintOutput(
            fingerprint=f"{value:0{len(bits) // 4}x}",
            bits=len(bits),
            distance=None if reference is None else (value ^ int(reference, 16)).bit_count(),
            operation_version=self.version,
        )
