"""Which failures are the same: they have one error code, host, format and message, but for what changes in that."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import plain_text
from imagebatch_server.batches.model import Item, Outcome
from imagebatch_server.urls import host_of

MOST_CLUSTERS = 1_000
"""Of one batch; what fails in yet another way is counted in one more for each code."""

ANYTHING = "*"
"""Stands in a message for what changes."""

MOST_CHARACTERS = 300
"""Of a cluster's message."""

_LOOKED_AT = 1_000
"""Characters of an item's message; what comes behind is an operation's quoting."""

_LEAST_NAME = 4
"""Characters of a host or key that is looked for in messages: shorter ones are parts of words."""

_CHANGING = re.compile(
    r"""
      [A-Za-z][A-Za-z0-9+.-]{0,15}://\S+                    # a URL
    | (?<!\w)(?P<quote>['"`])[^'"`\n]{0,300}(?P=quote)(?!\w)  # what is quoted, and no apostrophe
    | (?<![\w*])[~.]{0,2}/[^\s:;,)]+                        # a path
    | \b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b
    | \b(?=[A-Za-z_]*\d)\w{12,}\b                           # a hash, a key, a name with a number
    | \b0x[0-9A-Fa-f]+\b
    | (?<!status[ ])(?<![A-Za-z0-9])[-+]?\d+(?:[.,:]\d+)*   # a number, but for an HTTP status, which says what is wrong
    """,
    re.VERBOSE,
)


class ClusterKey(NamedTuple):
    """What the items of a cluster have in common. `cluster_id` is made of the rest."""

    cluster_id: str
    error_code: ItemErrorCode
    host: str
    format: str
    message: str


def cluster_of(item: Item, outcome: Outcome) -> ClusterKey:
    """Tell which cluster a failed item belongs to."""
    host = host_of(item.image_url) if item.image_url is not None else ""
    code = outcome.error_code or ItemErrorCode.INTERNAL
    message = template(outcome.error_message or "", host, item.object_key or "")
    return _key(code, host, outcome.image_format or "", message)


def rest_of(code: ItemErrorCode) -> ClusterKey:
    """Tell where a failure of this code is counted that has no cluster of its own."""
    return _key(code, "", "", ANYTHING)


def template(message: str, *names: str) -> str:
    """Put `*` in the place of all that changes from item to item, these names included."""
    text = " ".join(plain_text(message[:_LOOKED_AT]).split())
    for name in names:
        if len(name) >= _LEAST_NAME:
            text = text.replace(name, ANYTHING)
    text = _CHANGING.sub(ANYTHING, text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def _key(code: ItemErrorCode, host: str, image_format: str, message: str) -> ClusterKey:
    parts = (code.value, host, image_format, message)
    cluster_id = hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:16]
    return ClusterKey(cluster_id, code, *parts[1:])
