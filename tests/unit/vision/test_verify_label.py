"""What a label means, and what of it a classifier's suggestions bear out."""

from __future__ import annotations

import pytest

from imagebatch_vision.describe.calibration import Suggestion
from imagebatch_vision.describe.labels import load_vocabulary
from imagebatch_vision.describe.things import THINGS
from imagebatch_vision.verify.label import check_label
from imagebatch_vision.verify.output import Verdict
from imagebatch_vision.verify.synonyms import NARROWER, SYNONYMS
from imagebatch_vision.verify.vocabulary import UnknownWord, load_words

TERMS = {thing.name: thing.term for thing in THINGS} | {term.name: term for term in load_vocabulary().terms}


def suggested(**confidences: float) -> list[Suggestion]:
    named = {name.replace("_", " "): confidence for name, confidence in confidences.items()}
    return sorted((Suggestion(TERMS[name], it) for name, it in named.items()), key=lambda it: -it.confidence)


@pytest.mark.parametrize(
    ("label", "terms", "is_whole"),
    [
        ("cat", {"cat"}, True),
        (" The  Cat ", {"cat"}, True),
        ("cats", {"cat"}, True),
        ("kitten", {"cat"}, True),
        ("buses", {"bus"}, True),
        ("butterflies", {"butterfly"}, True),
        ("tabby cat", {"tabby cat"}, True),
        ("motorcycle", {"motorcycle or scooter"}, True),
        ("motorcycle or scooter", {"motorcycle or scooter"}, True),
        ("cat or dog", {"cat", "dog"}, True),
        ("bike", {"bicycle", "motorcycle or scooter"}, True),
        ("couch", {"sofa"}, False),
        ("guitar", {"acoustic guitar", "electric guitar"}, False),
        ("wolves", {"grey wolf", "white wolf", "red wolf"}, False),
        ("an apple", {"apple"}, True),
        ("people", {"person"}, True),
        ("toilet", {"toilet seat"}, True),
        ("chairs", {"chair"}, True),
        ("axes", {"hatchet"}, False),
        ("feline", {"cat", "wild cat"}, True),
        ("canine", {"dog", "wolf or wild dog", "fox"}, True),
        ("pet", {"cat", "dog", "hamster", "guinea pig"}, False),
    ],
)
def test_a_word_means_a_term_a_wider_one_narrower_ones_or_a_synonyms(
    label: str, terms: set[str], is_whole: bool
) -> None:
    meaning = load_words().find(label)
    assert (set(meaning.terms), meaning.is_whole) == (terms, is_whole)


@pytest.mark.parametrize(
    ("label", "remedy"),
    [
        ("girafe", "perhaps giraffe"),
        ("motorcyle", "perhaps motorcycle"),
        ("cat or umbrela", "perhaps umbrella"),
        ("dragonfruit", "try a wider word"),
        ("house", "try a wider word"),
        ("crow", "try a wider word"),
        ("donkey", "try a wider word"),
        ("xqzw", "try a wider word"),
    ],
)
def test_only_what_may_be_a_misspelling_is_answered_with_another_word(label: str, remedy: str) -> None:
    with pytest.raises(UnknownWord, match=f"can recognise; {remedy}"):
        load_words().find(label)


@pytest.mark.parametrize("label", ["man", "women", "a child", "Babies", "kids", "police officers"])
def test_a_kind_of_person_means_some_people(label: str) -> None:
    meaning = load_words().find(label)
    assert (set(meaning.terms), set(meaning.wider), meaning.is_whole) == (set(), {"person"}, True)


def test_every_synonym_leads_to_terms_and_hides_none() -> None:
    assert [it for terms in SYNONYMS.values() for it in terms if it not in TERMS] == []
    assert [word for word in SYNONYMS if load_words().find(word).terms != set(SYNONYMS[word])] == []
    assert [it for it in NARROWER.values() if it not in TERMS] == []
    assert [word for word in NARROWER if load_words().find(word).wider != {NARROWER[word]}] == []


@pytest.mark.parametrize(
    ("found", "expected", "excluded"),
    [
        ("tabby cat", "dog", True),
        ("tabby cat", "Siamese cat", True),
        ("tabby cat", "cat", False),
        ("animal", "dog", False),
        ("cat", "tabby cat", False),
        ("school bus", "car", True),
        ("taxi", "sports car", False),
        ("animal", "pizza", True),
        ("cat", "sofa", False),
        ("pizza", "dining table", False),
        ("pizza", "banana", False),
        ("coffee mug", "cup", False),
        ("building", "truck", False),
    ],
)
def test_only_what_can_not_well_be_seen_together_excludes_each_other(found: str, expected: str, excluded: bool) -> None:
    assert load_words().excludes(found, expected) is excluded
    assert load_words().excludes(expected, found) is excluded


CAT = suggested(tabby_cat=0.93, cat=0.96, animal=0.97)
PERSON = suggested(person=0.97)


@pytest.mark.parametrize(
    ("label", "suggestions", "verdict"),
    [
        ("cat", CAT, "supported"),
        ("kitten", CAT, "supported"),
        ("animal", CAT, "supported"),
        ("dog", CAT, "contradicted"),
        ("pizza", CAT, "contradicted"),
        ("dog or cat", CAT, "supported"),
        ("dog or pizza", CAT, "contradicted"),
        ("sofa", CAT, "contradicted"),
        ("person", CAT, "contradicted"),
        ("guitar", CAT, "cannot_tell"),
        ("castle", CAT, "cannot_tell"),
        ("wolf", CAT, "cannot_tell"),
        ("sofa or castle", CAT, "cannot_tell"),
        ("sofa", [], "cannot_tell"),
        ("Siamese cat", suggested(cat=0.95, tabby_cat=0.6, Siamese_cat=0.3), "cannot_tell"),
        ("dog", suggested(tabby_cat=0.85, cat=0.87), "cannot_tell"),
        ("dog", suggested(tabby_cat=0.93, cat=0.96, dog=0.05), "cannot_tell"),
        ("dog", [], "cannot_tell"),
        ("dragonfruit", CAT, "cannot_tell"),
        ("feline", CAT, "supported"),
        ("pet", CAT, "supported"),
        ("canine", CAT, "contradicted"),
        ("axe", CAT, "cannot_tell"),
        ("woman", CAT, "contradicted"),
        ("woman or cat", CAT, "supported"),
        ("woman", PERSON, "cannot_tell"),
        ("man or woman", PERSON, "cannot_tell"),
        ("woman or person", PERSON, "supported"),
        ("woman or cat", PERSON, "cannot_tell"),
        ("woman", suggested(tabby_cat=0.93, person=0.05), "cannot_tell"),
        ("woman", [], "cannot_tell"),
    ],
)
def test_an_unknown_subject_or_word_never_contradicts(
    label: str, suggestions: list[Suggestion], verdict: Verdict
) -> None:
    assert check_label(label, suggestions, 0.7).verdict == verdict


@pytest.mark.parametrize("person", [0.0, 0.005, 0.02, 0.5])
def test_a_kind_of_person_is_contradicted_where_a_person_would_be(person: float) -> None:
    seen = suggested(tabby_cat=0.93, cat=0.96, person=person)
    of_person, of_child = check_label("person", seen, 0.7), check_label("child", seen, 0.7)
    assert (of_child.verdict, of_child.score) == (of_person.verdict, of_person.score)


def test_a_person_of_whatever_kind_is_named_as_what_is_seen() -> None:
    assert check_label("woman", PERSON, 0.7).detail == (
        'It shows a person (probability 0.97); whether that is "woman" is not recognised.'
    )


def test_the_score_is_the_probability() -> None:
    assert check_label("cat", CAT, 0.7).score == 0.96
    assert check_label("dog", CAT, 0.7).score == 0.0
    assert check_label("cat", CAT, 0.97).verdict == "cannot_tell"
