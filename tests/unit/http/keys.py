"""A store of signing keys in memory, as several servers share it."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_server.batches.model import SigningKey


class Keys:
    def __init__(self) -> None:
        self.kept: dict[int, SigningKey] = {}

    async def read(self) -> Sequence[SigningKey]:
        return [self.kept[number] for number in sorted(self.kept)]

    async def add(self, key: SigningKey) -> None:
        self.kept.setdefault(key.number, key)

    async def remove(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.kept.pop(number, None)
