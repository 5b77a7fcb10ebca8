"""What a caller's word means in the vocabulary of classifier and detector."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from imagebatch_vision.describe.labels import Vocabulary, load_vocabulary
from imagebatch_vision.describe.things import THINGS, Thing
from imagebatch_vision.verify.synonyms import NARROWER, SYNONYMS

_ARTICLES = ("a ", "an ", "the ", "some ")
_SUBJECTS = frozenset({"animal", "vehicle", "food", "musical instrument"})
"""Kinds of which one is what a picture is about; things of other kinds are often in it beside them."""
_EXCLUSIVE_KIND = "animal"
"""Nothing is two kinds of animal at once, while a mug is a cup too."""


_MISSPELT_FROM = 6
"""A word with fewer letters is a letter or two away from words that mean quite other things: crow, cow."""
_MISSPELT_LIKENESS = 0.85


class UnknownWord(ValueError):
    """The vocabulary has no such word; the message names those of which it may be a misspelling."""


@dataclass(frozen=True)
class Meaning:
    """The terms that a word stands for, any of them."""

    terms: frozenset[str]
    is_whole: bool
    """Whether whatever bears the word is among them: of chairs only a few kinds are known, of dogs all count."""
    wider: frozenset[str] = frozenset()
    """Terms of which the word means some only: to see one proves nothing, to see none of it tells against the word."""


class Words:
    """The vocabulary by word."""

    def __init__(self, vocabulary: Vocabulary, things: Sequence[Thing]) -> None:
        classes = dict(zip(vocabulary.terms, map(frozenset, vocabulary.classes_of_term), strict=True))
        self._kinds = [term for term in sorted(classes, key=lambda it: -it.depth) if not term.is_class]
        self._above = {
            term.name: [kind.name for kind in self._kinds if classes[kind] > classes[term]] for term in classes
        }
        """The wider terms of each, nearest first."""
        self._above |= {thing.name: list(thing.wider) for thing in things if thing.known_as is None}
        self._names = {name.casefold(): name for name in self._above}
        for thing in things:
            for name in (thing.name, thing.plural):
                self._names.setdefault(name, thing.known_as or thing.name)
        self._detectable = frozenset(thing.known_as or thing.name for thing in things)

    def find(self, label: str) -> Meaning:
        """Find the meaning of a word, or of several with `or` between them. Raises UnknownWord."""
        plain = _plain(label)
        found = [self._exactly(plain)] if plain in self._names else [self._one(it) for it in plain.split(" or ")]
        return Meaning(
            frozenset().union(*(it.terms for it in found)),
            all(it.is_whole for it in found),
            frozenset().union(*(it.wider for it in found)),
        )

    def is_detectable(self, term: str) -> bool:
        """Whether it is looked for everywhere in a picture, so that not to find it says something."""
        return term in self._detectable

    def excludes(self, found: str, expected: str) -> bool:
        """Whether what bears the term `found` can't well be the main thing in a picture of `expected`."""
        if found == expected or found in self._above[expected] or expected in self._above[found]:
            return False
        tops = self._top(found), self._top(expected)
        if tops[0] != tops[1]:
            return _SUBJECTS.issuperset(tops)
        kinds = self._kind(found), self._kind(expected)
        related = kinds[0] == kinds[1] or kinds[0] in self._above[kinds[1]] or kinds[1] in self._above[kinds[0]]
        return tops[0] == _EXCLUSIVE_KIND or not related

    def _one(self, word: str) -> Meaning:
        for form in _forms(word):
            if form in self._names:
                return self._exactly(form)
            if form in SYNONYMS:
                terms = SYNONYMS[form]
                return Meaning(frozenset(terms), is_whole=all(map(self._is_kind, terms)))
            if form in NARROWER:
                return Meaning(frozenset(), is_whole=True, wider=frozenset({NARROWER[form]}))
            wider = {name for low, name in self._names.items() if form in low.split(" or ")}
            if wider:
                return Meaning(frozenset(wider), is_whole=True)
            narrower = {name for low, name in self._names.items() if low.endswith(f" {form}")}
            if narrower:
                return Meaning(frozenset(narrower), is_whole=False)
        like = _respelt(word, [*self._names, *SYNONYMS, *NARROWER])
        remedy = f"; perhaps {', '.join(like)}?" if like else "; try a wider word"
        raise UnknownWord(f'"{word}" is none of the things that the local backend can recognise{remedy}')

    def _exactly(self, form: str) -> Meaning:
        return Meaning(frozenset({self._names[form]}), is_whole=True)

    def _is_kind(self, name: str) -> bool:
        return any(kind.name == name for kind in self._kinds)

    def _kind(self, name: str) -> str:
        return name if self._is_kind(name) or not self._above[name] else self._above[name][0]

    def _top(self, name: str) -> str:
        return self._above[name][-1] if self._above[name] else name


@cache
def load_words() -> Words:
    """Load the words of the models that ship with this package."""
    return Words(load_vocabulary(), THINGS)


def _plain(words: str) -> str:
    plain = " ".join(words.casefold().split())
    for article in _ARTICLES:
        plain = plain.removeprefix(article)
    return plain


def _respelt(word: str, known: Sequence[str]) -> list[str]:
    """Find the known words of which it may be a misspelling, most similar first."""
    return difflib.get_close_matches(word, known, 3, _MISSPELT_LIKENESS) if len(word) >= _MISSPELT_FROM else []


def _forms(word: str) -> Iterator[str]:
    """Give the word, then what may be its singular."""
    plain = _plain(word)
    yield plain
    for ending, instead in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
        if plain.endswith(ending) and len(plain) > len(ending) + 2:
            yield plain.removesuffix(ending) + instead
