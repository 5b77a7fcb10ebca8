"""The eighty everyday things that the detector knows, in its order, and the classifier's terms that each speaks for."""

from __future__ import annotations

from dataclasses import dataclass

from imagebatch_vision.describe.labels import Term

PERSON = 0
"""The index of people, who are counted by their faces too."""


@dataclass(frozen=True)
class Thing:
    """One thing that can be found, with a box around it."""

    name: str
    plural: str
    known_as: str | None
    """The classifier's term for just this; None where it has none."""
    wider: tuple[str, ...]
    """The classifier's terms that this is a case of."""

    @property
    def phrase(self) -> str:
        """One of it, with its article."""
        if self.name in ("skis", "scissors"):
            return f"a pair of {self.name}"
        return self.name if self.name == "broccoli" else f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"

    @property
    def term(self) -> Term:
        """What a suggestion of it bears."""
        return Term(self.name, self.phrase, len(self.wider), is_class=False, is_stated=True)


_VEHICLE, _ANIMAL, _FOOD = ("vehicle",), ("animal",), ("food",)
_FRUIT, _VEGETABLE = ("fruit", "food"), ("vegetable", "food")
_SEAT, _FURNITURE, _BAG, _APPLIANCE = ("seat", "furniture"), ("furniture",), ("bag",), ("home appliance",)

THINGS = tuple(
    Thing(name, plural, known_as, wider)
    for name, plural, known_as, wider in (
        ("person", "people", "person", ()),
        ("bicycle", "bicycles", "bicycle", _VEHICLE),
        ("car", "cars", "car", _VEHICLE),
        ("motorcycle", "motorcycles", "motorcycle or scooter", _VEHICLE),
        ("aeroplane", "aeroplanes", "aircraft", _VEHICLE),
        ("bus", "buses", "bus", _VEHICLE),
        ("train", "trains", "train", _VEHICLE),
        ("truck", "trucks", "truck", _VEHICLE),
        ("boat", "boats", "boat or ship", _VEHICLE),
        ("traffic light", "traffic lights", "traffic light", ()),
        ("fire hydrant", "fire hydrants", None, ()),
        ("stop sign", "stop signs", None, ()),
        ("parking meter", "parking meters", "parking meter", ()),
        ("bench", "benches", "park bench", _SEAT),
        ("bird", "birds", "bird", _ANIMAL),
        ("cat", "cats", "cat", _ANIMAL),
        ("dog", "dogs", "dog", _ANIMAL),
        ("horse", "horses", "horse", _ANIMAL),
        ("sheep", "sheep", "sheep or goat", _ANIMAL),
        ("cow", "cows", "cattle", _ANIMAL),
        ("elephant", "elephants", "elephant", _ANIMAL),
        ("bear", "bears", "bear", _ANIMAL),
        ("zebra", "zebras", "zebra", _ANIMAL),
        ("giraffe", "giraffes", None, _ANIMAL),
        ("backpack", "backpacks", "backpack", _BAG),
        ("umbrella", "umbrellas", "umbrella", ()),
        ("handbag", "handbags", "handbag", _BAG),
        ("necktie", "neckties", "necktie", ()),
        ("suitcase", "suitcases", None, _BAG),
        ("frisbee", "frisbees", None, ()),
        ("skis", "skis", "ski", ()),
        ("snowboard", "snowboards", None, ()),
        ("ball", "balls", "ball", ()),
        ("kite", "kites", None, ()),
        ("baseball bat", "baseball bats", None, ()),
        ("baseball glove", "baseball gloves", None, ()),
        ("skateboard", "skateboards", None, ()),
        ("surfboard", "surfboards", None, ()),
        ("tennis racket", "tennis rackets", "tennis racket", ()),
        ("bottle", "bottles", "bottle", ()),
        ("wine glass", "wine glasses", None, ("cup or glass",)),
        ("cup", "cups", "cup or glass", ()),
        ("fork", "forks", None, ()),
        ("knife", "knives", None, ()),
        ("spoon", "spoons", None, ()),
        ("bowl", "bowls", None, ()),
        ("banana", "bananas", "banana", _FRUIT),
        ("apple", "apples", None, _FRUIT),
        ("sandwich", "sandwiches", None, _FOOD),
        ("orange", "oranges", "orange", _FRUIT),
        ("broccoli", "broccoli", "broccoli", _VEGETABLE),
        ("carrot", "carrots", None, _VEGETABLE),
        ("hot dog", "hot dogs", "hot dog", _FOOD),
        ("pizza", "pizzas", "pizza", _FOOD),
        ("doughnut", "doughnuts", None, _FOOD),
        ("cake", "cakes", None, _FOOD),
        ("chair", "chairs", None, _SEAT),
        ("sofa", "sofas", "sofa", _SEAT),
        ("potted plant", "potted plants", None, ()),
        ("bed", "beds", "bed", _FURNITURE),
        ("dining table", "dining tables", "dining table", _FURNITURE),
        ("toilet", "toilets", "toilet seat", ()),
        ("television", "televisions", "television", ("screen",)),
        ("laptop", "laptops", "laptop", ("computer", "screen", "keyboard")),
        ("computer mouse", "computer mice", "computer mouse", ()),
        ("remote control", "remote controls", "remote control", ()),
        ("computer keyboard", "computer keyboards", "computer keyboard", ("keyboard",)),
        ("mobile phone", "mobile phones", "mobile phone", ("telephone",)),
        ("microwave oven", "microwave ovens", "microwave oven", _APPLIANCE),
        ("oven", "ovens", "stove", _APPLIANCE),
        ("toaster", "toasters", "toaster", _APPLIANCE),
        ("sink", "sinks", "sink", ()),
        ("refrigerator", "refrigerators", "refrigerator", _APPLIANCE),
        ("book", "books", None, ()),
        ("clock", "clocks", "clock or watch", ()),
        ("vase", "vases", "vase", ()),
        ("scissors", "pairs of scissors", None, ()),
        ("teddy bear", "teddy bears", "teddy bear", ()),
        ("hair dryer", "hair dryers", "hair dryer", _APPLIANCE),
        ("toothbrush", "toothbrushes", None, ()),
    )
)
