"""McNemar's test for two versions that were asked the same: whether their difference can be chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb


@dataclass(frozen=True)
class Pairs:
    """Of those asked: how many only one of two did well."""

    only_old: int
    only_new: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> Pairs:
        """Count (did the old one do well, did the new one)."""
        listed = list(pairs)
        return cls(sum(old and not new for old, new in listed), sum(new and not old for old, new in listed))

    @property
    def p(self) -> float:
        """The probability of a split at least as uneven if both were equally good: exact, two-sided."""
        both = self.only_old + self.only_new
        tail = sum(comb(both, it) for it in range(min(self.only_old, self.only_new) + 1))
        return min(1.0, 2 * tail / (1 << both))

    def __str__(self) -> str:
        return f"{self.only_old} / {self.only_new}, p = {self.p:.2g}"
