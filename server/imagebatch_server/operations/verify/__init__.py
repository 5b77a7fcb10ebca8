"""The operation `verify`, offline."""

from imagebatch_server.operations.verify.operation import Verify
from imagebatch_server.operations.verify.output import Check, VerifyOutput
from imagebatch_server.operations.verify.parameters import Expectations, VerifyParameters

__all__ = ["Check", "Expectations", "Verify", "VerifyOutput", "VerifyParameters"]
