"""What a plug-in needs to write an operation."""

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters, Stored

__all__ = ["ItemContext", "ItemError", "Operation", "Output", "Parameters", "Stored"]
