"""The operation `describe`, offline."""

from imagebatch_server.operations.describe.operation import Describe
from imagebatch_server.operations.describe.output import DescribeOutput, DescribeParameters

__all__ = ["Describe", "DescribeOutput", "DescribeParameters"]
