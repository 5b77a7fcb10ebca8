"""What is named of what was recognised: the plausible, the prominent and the sure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from imagebatch_vision.describe.calibration import SEVERAL, Suggestion
from imagebatch_vision.describe.cross_check import agrees, reads_alike
from imagebatch_vision.describe.detector import Found
from imagebatch_vision.describe.faces import Face
from imagebatch_vision.describe.labels import Vocabulary, load_vocabulary
from imagebatch_vision.describe.places import Box
from imagebatch_vision.describe.reader import Line
from imagebatch_vision.describe.statements import Statement, choose
from imagebatch_vision.describe.things import PERSON, THINGS
from imagebatch_vision.describe.weighing import Links, RecognisedThing, Recognition, recognise_thing

FACE = Face(0.9, Box(0.4, 0.1, 0.6, 0.3))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


def seen(
    name: str,
    confidence: float = 0.95,
    area: float = 0.3,
    count: int = 1,
    *,
    several: bool = False,
    many: bool = False,
) -> RecognisedThing:
    thing = next(it for it in THINGS if it.name == name)
    return RecognisedThing(thing, confidence, count, several=several, many=many, area=area, kind=thing.known_as)


def suggested(vocabulary: Vocabulary, **confidences: float) -> list[Suggestion]:
    terms = {term.name.replace(" ", "_"): term for term in vocabulary.terms}
    return [Suggestion(terms[name], confidence) for name, confidence in confidences.items()]


def words(recognition: Recognition, vocabulary: Vocabulary) -> Sequence[str]:
    return [it.words for it in choose(recognition, vocabulary)]


def test_nothing_recognised_is_nothing_said(vocabulary: Vocabulary) -> None:
    assert choose(Recognition((), ()), vocabulary) == []


def test_the_largest_thing_comes_first_and_small_or_unsure_ones_are_left_out(vocabulary: Vocabulary) -> None:
    things = [seen("cup", area=0.05), seen("person", area=0.4), seen("clock", area=0.001), seen("kite", 0.8)]

    assert words(Recognition((), things), vocabulary) == ["a person", "a cup"]


def test_a_sure_breed_names_the_one_dog(vocabulary: Vocabulary) -> None:
    breed = suggested(vocabulary, Labrador_retriever=0.92, retriever=0.95, dog=0.97, animal=0.97)

    [statement] = choose(Recognition(breed, [seen("dog", 0.97)]), vocabulary)

    assert (statement.name, statement.words, statement.confidence) == (
        "Labrador retriever", "a Labrador retriever", 0.92,
    )  # fmt: skip
    assert words(Recognition(breed, [seen("dog", several=True)]), vocabulary) == ["dogs"]


def test_an_unsure_breed_is_said_with_its_sure_kind(vocabulary: Vocabulary) -> None:
    breed = suggested(vocabulary, keeshond=0.8, dog=0.97, animal=0.97)
    koala = suggested(vocabulary, koala=0.75, animal=0.94)
    unsure = suggested(vocabulary, koala=0.75, animal=0.85)

    assert [it.hedged for it in choose(Recognition(breed, [seen("dog", 0.97)]), vocabulary)] == [
        "a dog that looks like a keeshond"
    ]
    assert [it.hedged for it in choose(Recognition(koala, ()), vocabulary)] == ["an animal that looks like a koala"]
    assert [it.hedged for it in choose(Recognition(unsure, ()), vocabulary)] == ["what looks like a koala"]


def test_an_unsure_breed_of_a_sure_kind_is_said_beside_something_larger(vocabulary: Vocabulary) -> None:
    breed = suggested(vocabulary, African_elephant=0.8, elephant=0.97, animal=0.97)
    things = [seen("person", area=0.6), seen("elephant", 0.97, area=0.2)]

    assert words(Recognition(breed, things), vocabulary) == ["a person", "an African elephant"]


def test_what_only_the_classifier_sees_goes_before_small_things(vocabulary: Vocabulary) -> None:
    boat = [seen("person", area=0.05), seen("boat", 0.92, area=0.0)]

    assert words(Recognition((), boat), vocabulary) == ["a boat", "a person"]


def test_a_sure_animal_beats_a_different_one(vocabulary: Vocabulary) -> None:
    assert words(Recognition((), [seen("cat", 0.97), seen("dog", 0.75)]), vocabulary) == ["a cat"]
    assert words(Recognition((), [seen("dog", 0.8), seen("cat", 0.75)]), vocabulary) == ["a dog"]
    assert words(Recognition((), [seen("dog", 0.97), seen("horse", 0.96)]), vocabulary) == ["a dog", "a horse"]


def test_an_unsure_thing_gives_way_to_a_surer_one_of_its_kind(vocabulary: Vocabulary) -> None:
    leopard = suggested(vocabulary, leopard=0.91, animal=0.97)
    less_sure = suggested(vocabulary, leopard=0.72, animal=0.97)

    assert words(Recognition(leopard, [seen("giraffe", 0.75)]), vocabulary) == ["a leopard"]
    assert words(Recognition(less_sure, [seen("giraffe", 0.75)]), vocabulary) == ["a giraffe"]
    assert words(Recognition(leopard, [seen("giraffe", 0.92)]), vocabulary) == ["a giraffe"]
    assert words(Recognition((), [seen("car", 0.79), seen("truck", 0.71, area=0.6)]), vocabulary) == ["a car"]


def test_what_has_no_place_joins_what_has_one(vocabulary: Vocabulary) -> None:
    stage = suggested(vocabulary, tripod=0.92)

    assert words(Recognition(stage, [seen("person")]), vocabulary) == ["a person", "a tripod"]
    assert words(Recognition(stage, [seen("person", area=0.05)]), vocabulary) == ["a tripod", "a person"]
    assert words(Recognition(suggested(vocabulary, tripod=0.75), [seen("person")]), vocabulary) == ["a person"]


def test_the_widest_kinds_are_said_alone_only(vocabulary: Vocabulary) -> None:
    animal = suggested(vocabulary, animal=0.92)

    assert words(Recognition(animal, ()), vocabulary) == ["an animal"]
    assert words(Recognition(animal, [seen("person", area=0.05)]), vocabulary) == ["a person"]


def test_a_likely_thing_is_said_beside_a_person(vocabulary: Vocabulary) -> None:
    hammer = Recognition(suggested(vocabulary, hammer=0.82), [seen("person")])

    assert [it.hedged for it in choose(hammer, vocabulary)] == ["a person", "what looks like a hammer"]


def test_the_kind_of_a_thing_is_not_said_beside_it(vocabulary: Vocabulary) -> None:
    assert words(Recognition(suggested(vocabulary, vehicle=0.97), [seen("car")]), vocabulary) == ["a car"]


@pytest.mark.parametrize(
    ("person", "said"),
    [
        (seen("person", count=2), "two people"),
        (seen("person", several=True), "people"),
        (seen("person", several=True, many=True), "several people"),
    ],
)
def test_people_are_numbered_only_where_counted(vocabulary: Vocabulary, person: RecognisedThing, said: str) -> None:
    assert words(Recognition((), [person]), vocabulary) == [said]


@pytest.mark.parametrize(
    ("bodies", "found_faces", "said"),
    [
        ([0.51], [0.92], "a person"),
        ([0.51, 0.46], [0.92, 0.76], "two people"),
        ([0.51, 0.46, 0.38], [0.92, 0.76], "people"),  # two clear faces, though the bodies don't agree with them
        ([0.51, 0.46, 0.38], [0.92, 0.55], "a person"),
        ([0.78, 0.37], [0.9, 0.8, 0.8, 0.7], "several people"),
    ],
)
def test_people_are_as_many_as_clear_faces_show(
    vocabulary: Vocabulary, bodies: list[float], found_faces: list[float], said: str
) -> None:
    people = recognise_thing(
        PERSON, 0.97, [Found(PERSON, score, Box(0.0, 0.0, 0.6, 0.5)) for score in bodies], found_faces
    )

    assert words(Recognition((), [people]), vocabulary) == [said]
    assert people.confidence == SEVERAL or not people.several


@pytest.mark.parametrize(
    ("name", "is_rival"),
    [
        ("shoe", True),
        ("running shoe", True),
        ("clothing", False),  # it is never said
        ("dog", False),  # the detector tells it from a person
        ("Labrador retriever", False),
        ("butcher shop", False),  # people are in it
        ("baseball player", False),
    ],
)
def test_only_a_thing_that_the_detector_does_not_know_is_taken_for_a_person(
    vocabulary: Vocabulary, name: str, *, is_rival: bool
) -> None:
    terms = np.array([0.9 if term.name == name else 0.0 for term in vocabulary.terms])

    assert Links(vocabulary).strongest_rival(terms) == (0.9 if is_rival else 0.0)


def test_a_second_look_has_to_agree_with_everything(vocabulary: Vocabulary) -> None:
    people = Statement("person", "two people", 0.92, area=0.5, count=2)
    tripod = Statement("tripod", "a tripod", 0.92, area=0.0)
    again = Recognition(suggested(vocabulary, tripod=0.6, person=0.95), [seen("person")], faces=[FACE] * 2)

    assert agrees([people, tripod], again)
    assert not agrees([people, tripod], Recognition(again.suggestions, again.seen, faces=[FACE] * 3))
    assert not agrees([people, tripod], Recognition(suggested(vocabulary, tripod=0.4), again.seen, faces=[FACE] * 2))


def test_a_second_look_disagrees_where_its_subject_is_something_else(vocabulary: Vocabulary) -> None:
    shoe = Statement("running shoe", "a running shoe", 0.85, area=0.0)
    likely = suggested(vocabulary, running_shoe=0.86, shoe=0.9)

    assert agrees([shoe], Recognition(likely, [seen("person", 0.86, area=0.1)]))
    assert not agrees([shoe], Recognition(likely, [seen("person", 0.86, area=0.9)]))


@pytest.mark.parametrize("name", ["Labrador retriever", "dog", "animal"])
def test_a_second_look_may_name_the_subject_in_another_word(vocabulary: Vocabulary, name: str) -> None:
    dog = Statement(name, "it", 0.95, area=0.8)
    likely = suggested(vocabulary, Labrador_retriever=0.8, dog=0.9, animal=0.95)

    assert agrees([dog], Recognition(likely, [seen("dog", area=0.8)]))
    assert not agrees([dog], Recognition(likely, [seen("laptop", area=0.8)]))


def test_text_read_twice_may_differ_in_spaces_and_capitals_only() -> None:
    assert reads_alike([Line("NO ENTRY", 0.9)], [Line("No entry", 0.5), Line("other", 0.9)])
    assert not reads_alike([Line("NO ENTRY", 0.9)], [Line("NO ENTRV", 0.9)])
