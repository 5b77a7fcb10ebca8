"""The operation `verify`, offline."""

from imagebatch_vision.verify.operation import Verify
from imagebatch_vision.verify.output import Check, VerifyOutput
from imagebatch_vision.verify.parameters import Expectations, VerifyParameters

__all__ = ["Check", "Expectations", "Verify", "VerifyOutput", "VerifyParameters"]
