"""What tokens cost, as the operator says: for those who show costs; nothing here is charged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from imagebatch.v1 import batch_service_pb2

_PRICE = re.compile(r"(?P<name>.+)=(?P<input>\d{1,9}(?:\.\d{1,9})?)/(?P<output>\d{1,9}(?:\.\d{1,9})?)")


def token_prices(written: Iterable[str], currency: str) -> Sequence[batch_service_pb2.TokenPrice]:
    """Read `NAME=INPUT/OUTPUT` each. Raises ValueError for one that is written otherwise, or named twice."""
    prices: dict[str, batch_service_pb2.TokenPrice] = {}
    for each in written:
        match = _PRICE.fullmatch(each)
        if match is None:
            raise ValueError(f"{each!r} is no price; write NAME=INPUT/OUTPUT, such as describe=0.25/2.00")
        name = match["name"]
        if name in prices:
            raise ValueError(f"{name!r} has two prices; leave one of them out")
        prices[name] = batch_service_pb2.TokenPrice(
            name=name,
            input_per_million=float(match["input"]),
            output_per_million=float(match["output"]),
            currency=currency,
        )
    return list(prices.values())
