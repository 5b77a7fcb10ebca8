"""Limits that the contract states and no setting changes: written here once, and told to callers by GetServerInfo."""

from __future__ import annotations

MAX_METADATA_BYTES = 8 * 1024
"""Of an item's metadata, serialised."""

MAX_PARAMETERS_BYTES = 64 * 1024
"""Of a batch's parameters, serialised."""

MAX_OUTPUT_BYTES = 256 * 1024
"""Of an item's output, serialised; a larger one makes the item fail with INTERNAL."""

MAX_ERROR_MESSAGE_BYTES = 2 * 1024
"""Of an item's error message in UTF-8; a longer one is cut."""

MAX_IMAGE_URL_CHARACTERS = 8_192
"""The rule itself is in the protos."""
