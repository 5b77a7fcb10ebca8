"""The memory that images may take while they wait for a child or are with one."""

from __future__ import annotations


class Space:
    """Counts bytes. How large an image is shows only when it is here, so the limit may be passed by a little."""

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes

    @property
    def free_bytes(self) -> int:
        """What may be taken; nothing, or less, when no other image is to be brought."""
        return self._free_bytes

    def take(self, size_bytes: int) -> None:
        """Count bytes that are held, or about to be."""
        self._free_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Count them no more."""
        self._free_bytes += size_bytes
