"""The operation `describe`, offline."""

from imagebatch_vision.describe.operation import Describe
from imagebatch_vision.describe.output import DescribeOutput, DescribeParameters

__all__ = ["Describe", "DescribeOutput", "DescribeParameters"]
