"""The operation `verify`: whether an image is what it is claimed to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from imagebatch_server.operations import (
    BaseOperation,
    Image,
    ItemContext,
    ItemError,
    ItemErrorCode,
    Operation,
    OperationSettings,
    Output,
    Parameters,
)
from imagebatch_vision.settings import VisionSettings
from imagebatch_vision.verify.by_endpoint import VerifyByEndpoint
from imagebatch_vision.verify.examination import Examination
from imagebatch_vision.verify.models import Models
from imagebatch_vision.verify.output import VERSION, VerifyOutput, output_of
from imagebatch_vision.verify.parameters import VerifyParameters


class Verify(Operation[VerifyParameters]):
    """Check claims about an image: that the file is whole, and that it shows what it should."""

    name: ClassVar[str] = "verify"
    version: ClassVar[str] = VERSION
    description: ClassVar[str] = (
        "Checks whether an image is what it is claimed to be: whole, of its declared type, not blank, sharp, well "
        "exposed, and as expected in size, text, label and capture time. A damaged image, or a file that is none, is "
        "an answer (not verified) and no failure. Runs offline; or, with backend openai, asks a vision model behind an "
        "endpoint, which judges rules in words too."
    )
    parameters: ClassVar[type[Parameters]] = VerifyParameters
    output: ClassVar[type[Output]] = VerifyOutput
    backends: ClassVar[Mapping[str, type[BaseOperation[Any]]]] = {"openai": VerifyByEndpoint}
    settings: ClassVar[type[OperationSettings]] = VisionSettings
    configured: VisionSettings = VisionSettings()

    def load(self) -> None:
        """Load nothing yet: what images need is loaded with the first of them."""
        self._models = Models(self.configured.unload_after_s)

    def run(self, image: Image, parameters: VerifyParameters, item: ItemContext) -> VerifyOutput:
        """Check one image: 60 ms, with an expected label 0.1 s more, with an expected text 0.2 s to some seconds.

        Raises ItemError: TOO_LARGE.
        """
        return self._answer(image, parameters, item)

    def run_unopened(self, error: ItemError, parameters: VerifyParameters, item: ItemContext) -> VerifyOutput:
        """Answer for a file that is no image, or whose header is damaged. Raises ItemError: TOO_LARGE."""
        if error.code is ItemErrorCode.TOO_LARGE:  # the server's limit says nothing about the image
            raise error
        return self._answer(error, parameters, item)

    def _answer(self, image: Image | ItemError, parameters: VerifyParameters, item: ItemContext) -> VerifyOutput:
        examination = Examination(image, parameters, item, self._models)
        checks = list(examination.checks())
        return output_of(image if isinstance(image, Image) else None, checks, examination.models_used)
