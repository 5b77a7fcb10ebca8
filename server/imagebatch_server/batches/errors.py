"""What an item's failure is called inside; errors of a request stand beside it and `rpc.errors` maps those to gRPC."""

from __future__ import annotations

from imagebatch.v1.enums import ItemErrorCode


class ItemError(Exception):
    """One item failed with a known code; the message says what to do about it.

    `transient` overrides the code's own rule (PROVIDER_ERROR and FETCH_FAILED are transient only for some causes).
    """

    def __init__(self, code: ItemErrorCode, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient
