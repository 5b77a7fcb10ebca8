"""Whether a word names what a photograph shows: right, near (of the same kind) or wrong, by the vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from imagebatch_vision.describe.labels import load_vocabulary
from imagebatch_vision.describe.things import THINGS

Verdict = Literal["right", "near", "wrong"]


class Judge:
    """Know which words are wider than which."""

    def __init__(self) -> None:
        vocabulary = load_vocabulary()
        covers = dict(zip(vocabulary.terms, map(frozenset, vocabulary.classes_of_term), strict=True))
        self._wider = {
            term.name: {term.name, *(other.name for other in covers if covers[other] > covers[term])} for term in covers
        }
        for thing in THINGS:
            above = self._wider.get(thing.known_as or "", set()) | set(thing.wider)
            self._wider[thing.name] = self._wider.get(thing.name, set()) | {thing.name} | above
        self._widest = {term.name for term in covers if term.depth == 0 and not term.is_class} - {"person"}

    def implied(self, shown: Iterable[str]) -> set[str]:
        """Collect what may be said of a photograph that shows this: each word and every wider one."""
        return set().union(*(self._wider[name] for name in shown))

    def verdict(self, name: str, shown: Iterable[str], *, knows_breeds: bool = True) -> Verdict:
        """Of one word. A breed counts as its kind where the collection knows no more (it says `dog`)."""
        implied = self.implied(shown)
        if name in implied or (not knows_breeds and (self._wider[name] - self._widest) & set(shown)):
            return "right"
        return "near" if self._wider[name] & implied else "wrong"

    def is_decided_by(self, name: str, known: Iterable[str]) -> bool:
        """Whether these words, all that a collection knows, are enough to judge the name."""
        return any(name in self._wider[it] or it in self._wider[name] for it in known)

    def says_something(self, name: str) -> bool:
        """Not only that it is an animal, a vehicle, food."""
        return name not in self._widest
