"""A model that nobody asks is let go of, and loaded again for the next who does."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from imagebatch_vision.describe.unloading import Unloading

AN_HOUR_S = 3600.0


class Model:
    """Holds itself in a circle, as libraries' objects do, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_it_is_loaded_once_while_it_is_asked_for() -> None:
    models = iter([Model()])
    model = Unloading(lambda: next(models), AN_HOUR_S)

    assert model.get() is model.get()
    assert next(models, None) is None


def test_it_is_freed_when_idle_although_it_was_frozen_and_then_loaded_anew() -> None:
    model, freed = Unloading(Model, 0.05), threading.Event()
    first = model.get()
    weakref.finalize(first, freed.set)
    gc.freeze()
    del first

    assert freed.wait(timeout=60)
    assert isinstance(model.get(), Model)


def test_who_holds_it_keeps_it() -> None:
    model, let_go = Unloading(Model, 0.05), threading.Event()
    held = model.get()
    weakref.finalize(held, let_go.set)
    while (second := model.get()) is held:
        let_go.wait(timeout=0.2)  # nobody asks for four times as long

    assert not let_go.is_set()
    assert second is not held


def test_what_loading_raises_is_raised_and_the_next_who_asks_tries_again() -> None:
    answers: list[Exception | Model] = [FileNotFoundError("no model"), Model()]

    def load() -> Model:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    model = Unloading(load, AN_HOUR_S)

    with pytest.raises(FileNotFoundError, match="no model"):
        model.get()
    assert isinstance(model.get(), Model)
